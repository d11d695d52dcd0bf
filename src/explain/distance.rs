use candle_core::Tensor;

use crate::error::{ExplainError, Result};
use crate::model::Model;
use crate::ops;

use super::activations::check_map;
use super::numbers::{mean_square, wide, wide_type};
use super::saliency::illegal;

/// LPIPS' constant against division by 0: `normalize_tensor` of the authors'
/// code.
const LPIPS_EPSILON: f64 = 1e-10;

/// How far the features of two batches of pictures are apart: the mean over
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
    /// [`ExplainError::NoMap`], [`ExplainError::Setting`] without layers;
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
    /// [`ExplainError::Input`] if the shapes differ; those of
    /// [`Model::forward`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        same_shape("a perceptual loss", a, b)?;
        self.layers.mean(a, b, mean_square)
    }
}

/// How far the styles of two batches of pictures are apart: the mean over
/// layers of a quarter of the mean squared difference of their Gram matrices.
/// Source: Gatys et al., "Image Style Transfer Using Convolutional Neural
/// Networks", 2016, equations 4 and 5. Sizes of pictures may differ.
#[derive(Debug)]
pub struct StyleLoss<'a> {
    layers: Layers<'a>,
}

impl<'a> StyleLoss<'a> {
    /// Compares at these layers.
    ///
    /// # Errors
    /// As [`PerceptualLoss::new`].
    pub fn new<S: Into<String>>(
        model: &'a Model,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Ok(Self {
            layers: Layers::new(model, layers)?,
        })
    }

    /// The loss, a scalar, between two batches `(N, C, H, W)` of as many
    /// pictures. Gradients of both are recorded.
    ///
    /// # Errors
    /// Those of [`Model::forward`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.layers.mean(a, b, |a, b| {
            Ok((mean_square(&gram_matrix(a)?, &gram_matrix(b)?)? * 0.25)?)
        })
    }
}

/// LPIPS: the distance of pictures that agrees with people's, from features
/// of unit length weighed by channel. Source: Zhang et al., "The Unreasonable
/// Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1,
/// and the authors' code, version 0.1.
///
/// Pictures are to be prepared by
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
    /// As [`PerceptualLoss::new`]; [`ExplainError::Setting`] unless there is a
    /// weight for each channel.
    pub fn new<S: Into<String>>(
        model: &'a Model,
        layers: impl IntoIterator<Item = (S, Vec<f32>)>,
    ) -> Result<Self> {
        let (names, weights): (Vec<S>, Vec<Vec<f32>>) = layers.into_iter().unzip();
        let layers = Layers::new(model, names)?;
        let mut tensors = Vec::with_capacity(weights.len());
        for (name, weights) in layers.names.iter().zip(weights) {
            let channels = model.graph().get(name)?.shape().channels();
            if weights.len() != channels {
                return Err(illegal(
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

    /// The distance of each pair of pictures of two batches `(N, C, H, W)`,
    /// `(N)`. Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`] if the shapes differ; those of
    /// [`Model::forward`].
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

/// Gram matrices of maps `(N, C, H, W)`: the mean over places of the product
/// of each two channels, `(N, C, C)`, in f32 if the maps are in half precision.
/// Gradients are recorded. Source: Gatys et al., 2016, equation 3, by the
/// number of places.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for a tensor of other dimensions.
pub fn gram_matrix(maps: &Tensor) -> Result<Tensor> {
    Ok(ops::gram_matrix(maps)?)
}

/// How much neighbouring values of maps `(N, C, H, W)` differ: the mean of the
/// squared differences along columns plus that along rows, a scalar, in f32 if
/// the maps are in half precision. Gradients are recorded. Source: Mahendran
/// and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
/// 2015, section 3, with beta = 2.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for a tensor of other dimensions.
pub fn total_variation(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let mut total = Tensor::zeros((), wide_type(x.dtype()), x.device())?;
    for (dimension, side) in [(2, height), (3, width)] {
        if side > 1 {
            let after = x.narrow(dimension, 1, side - 1)?;
            let before = x.narrow(dimension, 0, side - 1)?;
            total = (total + mean_square(&after, &before)?)?;
        }
    }
    Ok(total)
}

/// Layers of a model at which pictures are compared.
#[derive(Debug)]
struct Layers<'a> {
    model: &'a Model,
    names: Vec<String>,
}

impl<'a> Layers<'a> {
    fn new<S: Into<String>>(model: &'a Model, names: impl IntoIterator<Item = S>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(no_layers());
        }
        for name in &names {
            check_map(model, name)?;
        }
        Ok(Self { model, names })
    }

    fn values(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(self.model.taps(&self.names, x)?.into_vec())
    }

    fn mean(
        &self,
        a: &Tensor,
        b: &Tensor,
        loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (a, b) = (self.values(a)?, self.values(b)?);
        let mut total: Option<Tensor> = None;
        for (a, b) in a.iter().zip(&b) {
            let part = loss(a, b)?;
            total = Some(match total {
                None => part,
                Some(total) => (total + part)?,
            });
        }
        Ok((total.ok_or_else(no_layers)? / self.names.len() as f64)?)
    }
}

fn no_layers() -> crate::error::Error {
    illegal("layers []".to_string(), "must name at least one layer")
}

fn unit_length(maps: &Tensor) -> Result<Tensor> {
    let maps = wide(maps)?;
    let squares = maps.sqr()?.sum_keepdim(1)?;
    // Without the first term the root of 0 has no gradient.
    let lengths = (squares + LPIPS_EPSILON.powi(2))?.sqrt()?;
    Ok(maps.broadcast_div(&(lengths + LPIPS_EPSILON)?)?)
}

fn same_shape(what: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() == b.dims() {
        return Ok(());
    }
    Err(ExplainError::Input {
        what,
        expected: "two batches of one shape",
        actual: b.dims().to_vec(),
    }
    .into())
}
