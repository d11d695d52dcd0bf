use crate::error::{Error, Result};
use crate::explain::numbers::values_of;
use crate::layers::{Conv2d, LayerKind};
use crate::model::Model;
use crate::preprocess::{ChannelOrder, Image, Size};

/// The filters of a convolution with three input channels, or one, as an image for
/// each output channel. 0 is middle gray, and the value of the largest magnitude is
/// black or white. The preprocessing says which channel is red.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::{Sheet, filter_images};
/// use vgg_surgery::Vgg16;
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let filters = filter_images(&model, "block1_conv1")?;
/// assert_eq!(filters.len(), 4);
/// let sheet = Sheet::new().cell(24).arrange(&filters)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// # Errors
/// The errors of [`Graph::layer`](crate::Graph::layer);
/// [`Error::Unsupported`] if the filters have another number of input channels.
pub fn filter_images(model: &Model, layer: &str) -> Result<Vec<Image>> {
    let _: &Conv2d = model.graph().layer(layer)?;
    let node = model.graph().node(layer)?;
    let mut parameters = model.parameters();
    let weight = parameters.find(|p| p.layer == node.name() && p.name == "weight");
    let weight = weight.map(|p| (p.tensor, p.tensor.dims()));
    let Some((weight, &[_, channels @ (1 | 3), height, width])) = weight else {
        return Err(Error::Unsupported {
            what: "show these filters",
            reason: format!(
                "the {} \"{}\" has neither one nor three input channels; show its feature maps, \
                 or maximize one",
                Conv2d::KIND,
                node.name()
            ),
        });
    };
    let preprocessing = model.graph().preprocessing();
    let reversed = preprocessing.is_some_and(|p| p.channel_order() == ChannelOrder::Bgr);
    let size = Size { width, height };
    values_of(weight)?
        .chunks_exact(channels * height * width)
        .map(|filter| filter_image(filter, size, reversed))
        .collect()
}

fn filter_image(filter: &[f32], size: Size, reversed: bool) -> Result<Image> {
    let reach = filter
        .iter()
        .fold(0f32, |reach, value| reach.max(value.abs()));
    let scale = if reach > 0.0 { 127.5 / reach } else { 0.0 };
    let area = size.pixels()?;
    let is_gray = filter.len() == area;
    let mut bytes = vec![0; 3 * area];
    for (channel, plane) in filter.chunks_exact(area).enumerate() {
        let targets = match (is_gray, reversed) {
            (true, _) => 0..3,
            (false, true) => 2 - channel..3 - channel,
            (false, false) => channel..channel + 1,
        };
        for (pixel, value) in bytes.chunks_exact_mut(3).zip(plane) {
            pixel[targets.clone()].fill((127.5 + value * scale).round().clamp(0.0, 255.0) as u8);
        }
    }
    Image::from_rgb8(size.width, size.height, bytes)
}
