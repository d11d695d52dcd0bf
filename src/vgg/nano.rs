use candle_core::DType;

use crate::graph::{Graph, WeightSet};
use crate::preprocess::Preprocessing;

use super::entry::Vgg16;

/// The tensors under `layer.parameter`, f16. Written by
/// `cargo run --release --example pretrain_nano`.
const TENSORS: &[u8] = include_bytes!("nano.safetensors");

/// VGG16's numbers of filters are divided by this.
const DIVISOR: usize = 8;

/// Height and width of the images that it was trained on.
const IMAGE_SIZE: usize = 64;

impl Vgg16 {
    /// VGG16 at one eighth of its widths, with trained weights that are bundled
    /// with this crate: no download, no file.
    ///
    /// It has VGG16's convolutions and pools under their names, without the
    /// classifier, and 8, 16, 32, 64 and 64 filters in the blocks (230,568
    /// parameters, stored in f16). It was trained from scratch on 25 classes of
    /// computed textures and shapes
    /// ([`Motif::trained_on`](crate::data::Motif::trained_on)) of 64x64 pixels. Its
    /// [`preprocessing`](Graph::preprocessing) takes RGB from 0 to 1, subtracts 0.5
    /// and divides by 0.25. It squashes images to the input's size, by default
    /// 64x64. Any size from 32x32 is legal.
    ///
    /// It is for examples, tests and a first try. Its features separate textures
    /// and shapes, even the classes
    /// [`Motif::HELD_OUT`](crate::data::Motif::HELD_OUT), on which it was not
    /// trained. It was trained on no photographs and knows no objects; for those,
    /// use [`Vgg16::pretrained`].
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Dense, Head, Image, Vgg16};
    ///
    /// let graph = Vgg16::nano()
    ///     .input((3, 64, 64))?
    ///     .truncate("block3_pool")?
    ///     .freeze_all()
    ///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2).softmax()))?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let image = Image::from_rgb8(80, 60, vec![200; 80 * 60 * 3])?;
    /// assert_eq!(model.predict_image(&image)?.scores().len(), 2);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn nano() -> Graph {
        let weights = WeightSet::bytes(TENSORS)
            .stored_as(DType::F16)
            .preprocessing(preprocessing())
            .license("MIT")
            .titled("bundled weights");
        Self::options()
            .widths(DIVISOR)
            .without_top()
            .pretrained_from(weights)
            .expect("the options are legal together")
    }
}

fn preprocessing() -> Preprocessing {
    Preprocessing::new()
        .with_size(IMAGE_SIZE, IMAGE_SIZE)
        .with_mean([0.5; 3])
        .with_std([0.25; 3])
}
