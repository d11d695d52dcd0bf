use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::error::{Result, require};
use crate::layers::{Custom, CustomLayer};
use crate::model::Model;
use crate::ops::{wide, wide_type};
use crate::shape::Shape;

use super::file::{ChannelWeights, LAYERS, check_vgg16, read};
use super::loss::{Layers, mismatch, sum};

/// The constants against division by 0, c1 and c2 of the paper.
const EPSILON: f64 = 1e-6;

/// Keeps the square root of a pool's output away from 0, where it has no gradient: the
/// authors' code.
const POOL_EPSILON: f64 = 1e-12;

/// What torchvision's VGG16 was trained with, for images from 0 to 1.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// DISTS, a distance between images that tolerates other samples of the same texture. It
/// compares the means of feature maps, and their correlation, in the image and five
/// layers of VGG16 with L2 pooling. Source: Ding et al., "Image Quality Assessment:
/// Unifying Structure and Texture Similarity", 2020, equations 4 to 7, and the authors'
/// code.
///
/// Prepare images with [`Preprocessing::new`](crate::Preprocessing::new): RGB from 0 to
/// 1. The authors scale the short side of larger images to 256 pixels.
#[derive(Clone, Debug)]
pub struct Dists {
    layers: Layers,
    /// For each of the image and the layers.
    weights: Vec<Weights>,
}

/// The weights `(1, C, 1, 1)` of a feature map's channels.
#[derive(Clone, Debug)]
struct Weights {
    texture: Tensor,
    structure: Tensor,
}

impl Dists {
    /// The metric with the weights of its authors: `weights.pt` of the Python package
    /// `DISTS_pytorch`, with the tensors `alpha` and `beta`. The file may be in any
    /// format that [`WeightSet::file`](crate::WeightSet::file) reads. They were trained
    /// for torchvision's VGG16. The metric keeps a copy of the model's
    /// graph with L2 pools, and shares its tensors.
    ///
    /// ```no_run
    /// use candle_core::Device;
    /// use vgg_surgery::explain::Dists;
    /// use vgg_surgery::{Image, Preprocessing, Vgg16};
    ///
    /// let model = Vgg16::pretrained().truncate("relu5_3")?.build(&Device::Cpu)?;
    /// let dists = Dists::from_file(&model, "weights.pt")?;
    /// let image = |gray| Image::from_rgb8(64, 64, vec![gray; 64 * 64 * 3]);
    /// let prepared = |image| Preprocessing::new().apply(&image);
    /// let distances = dists.distance(&prepared(image(9)?)?, &prepared(image(99)?)?)?;
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Lpips::from_file`](crate::explain::Lpips::from_file);
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) also if the model does
    /// not take three channels, or the sum of the weights is not finite and above 0.
    pub fn from_file(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let layers = Layers::new(with_l2_pools(model)?, LAYERS)?;
        let model = &layers.model;
        let inputs = model.graph().input_shape().channels();
        require(
            inputs == MEAN.len(),
            format_args!("a network for images of {inputs} channels"),
            "must take three, red, green and blue",
        )?;
        let mut channels = layers.channels()?;
        channels.insert(0, inputs);
        let named = |name: &str| ChannelWeights {
            name: name.to_string(),
            channels: channels.iter().sum(),
        };
        let stored = read(path.as_ref(), &[named("alpha"), named("beta")], model)?;
        let stored = Tensor::cat(&stored, 0)?;
        let total = wide_sum(&stored)?;
        let is_legal = total.is_finite() && total > 0.0;
        require(
            is_legal,
            format_args!("weights alpha and beta with the sum {total}"),
            "must be finite and above 0",
        )?;
        let weights = split(&(stored / total)?, &channels)?;
        Ok(Self { layers, weights })
    }

    /// The distances `(N)` between the images of two batches `(N, 3, H, W)`: 0 for equal
    /// images, about 1 for unrelated ones, never above 2. Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::error::ExplainError::Input) if the shapes
    /// differ or do not fit; the errors of [`Model::forward`].
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let is_batch = matches!(*a.dims(), [_, 3, _, _]);
        if !is_batch || a.dims() != b.dims() {
            let expected = "two batches (N, 3, H, W) of one shape";
            return Err(mismatch("DISTS", expected, b));
        }
        let (a, b) = (self.values(a)?, self.values(b)?);
        let pairs = a.iter().zip(&b).zip(&self.weights);
        let similarity = sum(pairs.map(|((a, b), weights)| Ok(weights.similarity(a, b)?)))?;
        Ok((1.0 - similarity)?)
    }

    /// The image and its feature maps, in a type in which they can be summed.
    fn values(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let model = &self.layers.model;
        let image = x.to_device(model.device())?;
        let image = image.to_dtype(wide_type(model.dtype()))?;
        let constant = |values: [f64; 3]| {
            let values = Tensor::new(&values, &Device::Cpu)?.reshape((1, 3, 1, 1))?;
            values.to_dtype(image.dtype())?.to_device(image.device())
        };
        let normalized = image.broadcast_sub(&constant(MEAN)?)?;
        let normalized = normalized.broadcast_div(&constant(STD)?)?;
        let maps = self.layers.values(&normalized)?;
        let mut values = vec![image];
        for map in &maps {
            values.push(wide(map)?);
        }
        Ok(values)
    }
}

impl Weights {
    /// The weighted similarity `(N)` of feature maps.
    fn similarity(&self, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        let (mean_a, mean_b) = (mean(a)?, mean(b)?);
        let texture = ratio(&(&mean_a * &mean_b)?, &(mean_a.sqr()? + mean_b.sqr()?)?)?;
        let (a, b) = (a.broadcast_sub(&mean_a)?, b.broadcast_sub(&mean_b)?);
        let variances = (mean(&a.sqr()?)? + mean(&b.sqr()?)?)?;
        let structure = ratio(&mean(&(a * b)?)?, &variances)?;
        let texture = texture.broadcast_mul(&self.texture)?;
        let structure = structure.broadcast_mul(&self.structure)?;
        (texture + structure)?.flatten_from(1)?.sum(1)
    }
}

fn ratio(product: &Tensor, squares: &Tensor) -> candle_core::Result<Tensor> {
    ((product * 2.0)? + EPSILON)? / (squares + EPSILON)?
}

/// The mean of each map, `(N, C, 1, 1)`.
fn mean(maps: &Tensor) -> candle_core::Result<Tensor> {
    maps.mean_keepdim((2, 3))
}

fn wide_sum(weights: &Tensor) -> candle_core::Result<f64> {
    let sum = weights.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    sum.sum_all()?.to_scalar()
}

/// Alpha and beta, two rows, as weights for each number of channels.
fn split(stored: &Tensor, channels: &[usize]) -> candle_core::Result<Vec<Weights>> {
    let mut begin = 0;
    let parts = channels.iter().map(|&count| {
        let part = stored.narrow(1, begin, count)?;
        begin += count;
        Ok(Weights {
            texture: part.narrow(0, 0, 1)?,
            structure: part.narrow(0, 1, 1)?,
        })
    });
    parts.collect()
}

fn with_l2_pools(model: &Model) -> Result<Model> {
    check_vgg16(model)?;
    model.edit(|graph| {
        let [.., last] = LAYERS;
        let mut graph = graph.truncate(last)?;
        for block in 1..LAYERS.len() {
            graph = graph.replace(format!("block{block}_pool"), Custom::new(L2Pool))?;
        }
        Ok(graph)
    })
}

/// The square root of the weighted mean of squares in windows of 3x3 pixels, with stride
/// 2 and zeros around the feature map. Source: the paper, equation 3.
#[derive(Debug)]
struct L2Pool;

impl CustomLayer for L2Pool {
    fn kind(&self) -> &str {
        "L2Pool"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let half = |side: Option<usize>| side.map(|side| side.div_ceil(2));
        match *inputs {
            [
                Shape::Map {
                    channels,
                    height,
                    width,
                },
            ] => Ok(Shape::Map {
                channels,
                height: half(height),
                width: half(width),
            }),
            _ => Err("it takes one feature map".to_string()),
        }
    }

    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        let maps = wide(&inputs[0])?;
        let squares = pool(&pool(&maps.sqr()?, 2)?, 3)?;
        (squares + POOL_EPSILON)?
            .sqrt()?
            .to_dtype(inputs[0].dtype())
    }
}

/// The means of each second value and its neighbors along a dimension, with the Hanning
/// window of weights 1/4, 1/2, 1/4.
fn pool(x: &Tensor, dimension: usize) -> candle_core::Result<Tensor> {
    let side = x.dim(dimension)?;
    let count = side.div_ceil(2);
    let padded = x.pad_with_zeros(dimension, 1, 2 * count + 1 - side)?;
    let mut pairs = padded.dims().to_vec();
    pairs.splice(dimension..=dimension, [count + 1, 2]);
    let pairs = padded.reshape(pairs)?;
    let part = |begin, parity| {
        let part = pairs.narrow(dimension, begin, count)?;
        part.narrow(dimension + 1, parity, 1)?
            .squeeze(dimension + 1)
    };
    ((part(0, 0)? + part(1, 0)?)? * 0.25)? + (part(0, 1)? * 0.5)?
}
