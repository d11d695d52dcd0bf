use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::{wide, wide_type};

use super::file::{ChannelWeights, LAYERS, check_vgg16, read};
use super::loss::{Layers, mismatch, sum};

/// LPIPS' constant against division by 0: `normalize_tensor` of the authors'
/// code.
const LPIPS_EPSILON: f64 = 1e-10;

/// LPIPS, a distance between images that agrees with human judgment. It
/// compares features of unit length and weights their channels. Source: Zhang
/// et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
/// Metric", 2018, equation 1, and the authors' code, version 0.1.
///
/// Prepare images with
/// [`Preprocessing::lpips`](crate::Preprocessing::lpips).
#[derive(Clone, Debug)]
pub struct Lpips {
    layers: Layers,
    weights: Vec<Tensor>,
}

impl Lpips {
    /// The metric with the weights of its authors: `vgg.pth` of version 0.1, in
    /// `lpips/weights/v0.1` of the Python package `lpips`. The file may be in any
    /// format that [`WeightSet::file`](crate::WeightSet::file) reads. The weights
    /// were trained for torchvision's VGG16. The metric owns its model; pass an
    /// `Arc<Model>` to share it.
    ///
    /// ```no_run
    /// use candle_core::Device;
    /// use vgg_surgery::explain::Lpips;
    /// use vgg_surgery::{Image, Preprocessing, Vgg16};
    ///
    /// let model = Vgg16::pretrained().truncate("relu5_3")?.build(&Device::Cpu)?;
    /// let lpips = Lpips::from_file(model, "vgg.pth")?;
    /// let image = |gray| Image::from_rgb8(64, 64, vec![gray; 64 * 64 * 3]);
    /// let prepared = |image| Preprocessing::lpips().apply(&image);
    /// let distances = lpips.distance(&prepared(image(9)?)?, &prepared(image(99)?)?)?;
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] if the model lacks one of `relu1_2`, `relu2_2`,
    /// `relu3_3`, `relu4_3` and `relu5_3`; [`Error::InvalidSetting`] if it is a VGG19;
    /// [`Error::MissingTensor`], [`Error::TensorShape`], [`Error::InvalidWeights`] or
    /// [`Error::Io`] if the file does not fit or can not be read.
    pub fn from_file(model: impl Into<Arc<Model>>, path: impl AsRef<Path>) -> Result<Self> {
        let layers = Layers::new(model, LAYERS)?;
        check_vgg16(&layers.model)?;
        let linear = layers.channels()?.into_iter().enumerate();
        let linear = linear.map(|(index, channels)| ChannelWeights {
            name: format!("lin{index}.model.1.weight"),
            channels,
        });
        let linear: Vec<ChannelWeights> = linear.collect();
        let weights = read(path.as_ref(), &linear, &layers.model)?;
        Ok(Self { layers, weights })
    }

    /// Compares at these layers, with a weight for each channel. The metric owns its
    /// model; pass an `Arc<Model>` to share it.
    ///
    /// # Errors
    /// As [`PerceptualLoss::new`](crate::explain::PerceptualLoss::new);
    /// [`Error::InvalidSetting`] if a layer has not one weight per channel.
    pub fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        layers: impl IntoIterator<Item = (S, Vec<f32>)>,
    ) -> Result<Self> {
        let (names, weights): (Vec<S>, Vec<Vec<f32>>) = layers.into_iter().unzip();
        let layers = Layers::new(model, names)?;
        let model = &layers.model;
        let channels = layers.channels()?.into_iter();
        let weights = layers.names.iter().zip(channels).zip(weights);
        let weights = weights.map(|((name, channels), weights)| {
            if weights.len() != channels {
                let count = weights.len();
                return Err(Error::setting(
                    format!("{count} weights for the {channels} channels of \"{name}\""),
                    "must be one for each channel",
                ));
            }
            let tensor = Tensor::from_vec(weights, (1, channels, 1, 1), model.device())?;
            Ok(tensor.to_dtype(wide_type(model.dtype()))?)
        });
        let weights = weights.collect::<Result<_>>()?;
        Ok(Self { layers, weights })
    }

    /// The distances `(N)` between the images of two batches `(N, C, H, W)`.
    /// Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::error::ExplainError::Input) if the shapes
    /// differ; the errors of
    /// [`Model::forward`].
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if a.dims() != b.dims() {
            return Err(mismatch("a distance", "two batches of one shape", b));
        }
        let (a, b) = (self.layers.values(a)?, self.layers.values(b)?);
        let pairs = a.iter().zip(&b).zip(&self.weights);
        sum(pairs.map(|((a, b), weights)| {
            let difference = (unit_length(a)? - unit_length(b)?)?.sqr()?;
            let weighted = difference.broadcast_mul(weights)?.sum(1)?;
            Ok(weighted.flatten_from(1)?.mean(1)?)
        }))
    }
}

fn unit_length(maps: &Tensor) -> Result<Tensor> {
    let maps = wide(maps)?;
    let squares = maps.sqr()?.sum_keepdim(1)?;
    // Without the epsilon the square root of 0 has no gradient.
    let lengths = (squares + LPIPS_EPSILON.powi(2))?.sqrt()?;
    Ok(maps.broadcast_div(&(lengths + LPIPS_EPSILON)?)?)
}
