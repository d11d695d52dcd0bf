use candle_core::Tensor;

use crate::error::Result;
use crate::explain::numbers::mean_square;
use crate::model::Model;
use crate::ops;

use super::layers::Layers;

/// How far the styles of two batches of images are apart: the mean over
/// layers of a quarter of the mean squared difference of their Gram matrices.
/// Source: Gatys et al., "Image Style Transfer Using Convolutional Neural
/// Networks", 2016, equations 4 and 5. Sizes of images may differ.
#[derive(Debug)]
pub struct StyleLoss<'a> {
    layers: Layers<'a>,
}

impl<'a> StyleLoss<'a> {
    /// Compares at these layers.
    ///
    /// # Errors
    /// As [`PerceptualLoss::new`](crate::PerceptualLoss::new).
    pub fn new<S: Into<String>>(
        model: &'a Model,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Ok(Self {
            layers: Layers::new(model, layers)?,
        })
    }

    /// The loss, a scalar, between two batches `(N, C, H, W)` of as many
    /// images. Gradients of both are recorded.
    ///
    /// # Errors
    /// Those of [`Model::forward`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.layers.mean(a, b, |a, b| {
            Ok((mean_square(&gram_matrix(a)?, &gram_matrix(b)?)? * 0.25)?)
        })
    }
}

/// Gram matrices of feature maps `(N, C, H, W)`: the mean over positions of the product
/// of each two channels, `(N, C, C)`, in f32 if they are in half precision.
/// Gradients are recorded. Source: Gatys et al., 2016, equation 3, by the
/// number of positions.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for a tensor of other dimensions.
pub fn gram_matrix(maps: &Tensor) -> Result<Tensor> {
    Ok(ops::gram_matrix(maps)?)
}
