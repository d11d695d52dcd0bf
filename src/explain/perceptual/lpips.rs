use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::explain::numbers::{wide, wide_type};
use crate::model::Model;

use super::layers::{Layers, no_layers, same_shape};

/// LPIPS' constant against division by 0: `normalize_tensor` of the authors'
/// code.
const LPIPS_EPSILON: f64 = 1e-10;

/// LPIPS: the distance of images that agrees with people's, from features
/// of unit length weighed by channel. Source: Zhang et al., "The Unreasonable
/// Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1,
/// and the authors' code, version 0.1.
///
/// Images are to be prepared by
/// [`Preprocessing::lpips`](crate::Preprocessing::lpips).
#[derive(Debug)]
pub struct Lpips<'a> {
    layers: Layers<'a>,
    weights: Vec<Tensor>,
}

impl<'a> Lpips<'a> {
    /// Compares at layers by weights of their channels. The authors' are
    /// `lin0.model.1.weight` to `lin4.model.1.weight` of `vgg.pth`, for
    /// `relu1_2`, `relu2_2`, `relu3_3`, `relu4_3` and `relu5_3`.
    ///
    /// # Errors
    /// As [`PerceptualLoss::new`](crate::PerceptualLoss::new);
    /// [`Error::InvalidSetting`] unless there is a weight for each channel.
    pub fn new<S: Into<String>>(
        model: &'a Model,
        layers: impl IntoIterator<Item = (S, Vec<f32>)>,
    ) -> Result<Self> {
        let (names, weights): (Vec<S>, Vec<Vec<f32>>) = layers.into_iter().unzip();
        let layers = Layers::new(model, names)?;
        let mut tensors = Vec::with_capacity(weights.len());
        for (name, weights) in layers.names.iter().zip(weights) {
            let channels = model.graph().node(name)?.shape().channels();
            if weights.len() != channels {
                return Err(Error::setting(
                    format!(
                        "{} weights for the {channels} channels of \"{name}\"",
                        weights.len()
                    ),
                    "are not one for each",
                ));
            }
            let tensor = Tensor::from_vec(weights, (1, channels, 1, 1), model.device())?;
            tensors.push(tensor.to_dtype(wide_type(model.dtype()))?);
        }
        Ok(Self {
            layers,
            weights: tensors,
        })
    }

    /// The distance of each pair of images of two batches `(N, C, H, W)`,
    /// `(N)`. Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::ExplainError::Input) if the shapes differ;
    /// the errors of [`Model::forward`].
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        same_shape("a distance", a, b)?;
        let (a, b) = (self.layers.values(a)?, self.layers.values(b)?);
        let mut total: Option<Tensor> = None;
        for ((a, b), weights) in a.iter().zip(&b).zip(&self.weights) {
            let difference = (unit_length(a)? - unit_length(b)?)?.sqr()?;
            let weighed = difference.broadcast_mul(weights)?.sum(1)?;
            let part = weighed.flatten_from(1)?.mean(1)?;
            total = Some(match total {
                None => part,
                Some(total) => (total + part)?,
            });
        }
        total.ok_or_else(no_layers)
    }
}

fn unit_length(maps: &Tensor) -> Result<Tensor> {
    let maps = wide(maps)?;
    let squares = maps.sqr()?.sum_keepdim(1)?;
    // Without the first term the root of 0 has no gradient.
    let lengths = (squares + LPIPS_EPSILON.powi(2))?.sqrt()?;
    Ok(maps.broadcast_div(&(lengths + LPIPS_EPSILON)?)?)
}
