use crate::error::{Error, Result};
use crate::explain::numbers::values_of;
use crate::layer::{Conv2d, LayerKind};
use crate::model::Model;
use crate::preprocess::{ChannelOrder, Image};

/// The filters of a convolution over three channels as images, one for each
/// output channel: 0 is middle gray, the filter's value farthest from 0 black
/// or white. The channels are shown as the preprocessing orders them.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::{Sheet, Vgg16, filter_images};
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let filters = filter_images(&model, "block1_conv1")?;
/// assert_eq!(filters.len(), 4);
/// let sheet = Sheet::new().cell(24).arrange(&filters)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// # Errors
/// Those of [`Graph::layer`](crate::Graph::layer); [`Error::Unsupported`] if
/// the filters are not over three channels.
pub fn filter_images(model: &Model, layer: &str) -> Result<Vec<Image>> {
    let conv: &Conv2d = model.graph().layer(layer)?;
    let node = model.graph().node(layer)?;
    let weight = model
        .parameters()
        .find(|parameter| parameter.layer == node.name() && parameter.name == "weight");
    let weight = weight.map(|parameter| parameter.tensor.clone());
    let Some((weight, (out_channels, 3, height, width))) = weight
        .map(|weight| Ok::<_, Error>((weight.clone(), weight.dims4()?)))
        .transpose()?
    else {
        return Err(Error::Unsupported {
            what: "show these filters",
            reason: format!(
                "the {} \"{}\" is not over three channels; show its activation maps, or \
                 maximize one",
                Conv2d::KIND,
                node.name()
            ),
        });
    };
    debug_assert_eq!(out_channels, conv.out_channels);
    let reversed = model
        .graph()
        .preprocessing()
        .is_some_and(|preprocessing| preprocessing.channel_order() == ChannelOrder::Bgr);
    let values = values_of(&weight)?;
    let area = height * width;
    values
        .chunks_exact(3 * area)
        .map(|filter| filter_image(filter, (height, width), reversed))
        .collect()
}

fn filter_image(filter: &[f32], (height, width): (usize, usize), reversed: bool) -> Result<Image> {
    let area = height * width;
    let reach = filter
        .iter()
        .fold(0f32, |reach, value| reach.max(value.abs()));
    let scale = if reach > 0.0 { 127.5 / reach } else { 0.0 };
    let mut bytes = vec![0; 3 * area];
    for (channel, plane) in filter.chunks_exact(area).enumerate() {
        let target = if reversed { 2 - channel } else { channel };
        for (pixel, value) in bytes.chunks_exact_mut(3).zip(plane) {
            pixel[target] = (127.5 + value * scale).round().clamp(0.0, 255.0) as u8;
        }
    }
    Image::from_rgb8(width, height, bytes)
}
