use candle_core::Tensor;

use crate::error::Result;
use crate::explain::numbers::mean_square;
use crate::model::Model;

use super::layers::{Layers, same_shape};

/// How far the features of two batches of images are apart: the mean over
/// layers of the mean squared difference. Source: Johnson et al., "Perceptual
/// Losses", 2016, section 3.2.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::{PerceptualLoss, Vgg16};
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let loss = PerceptualLoss::new(&model, ["relu2_2", "relu3_3"])?;
/// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
/// assert_eq!(loss.between(&x, &x)?.to_scalar::<f32>()?, 0.0);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Debug)]
pub struct PerceptualLoss<'a> {
    layers: Layers<'a>,
}

impl<'a> PerceptualLoss<'a> {
    /// Compares at these layers.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`](crate::ExplainError::NoMap),
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) without layers;
    /// those of the names.
    pub fn new<S: Into<String>>(
        model: &'a Model,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Ok(Self {
            layers: Layers::new(model, layers)?,
        })
    }

    /// The loss, a scalar, between two batches `(N, C, H, W)` of one shape.
    /// Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::ExplainError::Input) if the shapes
    /// differ; those of [`Model::forward`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        same_shape("a perceptual loss", a, b)?;
        self.layers.mean(a, b, mean_square)
    }
}
