use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::{check_any_layer, check_map};
use crate::model::Model;
use crate::ops::{self, Compared, wide_type};

/// A loss that compares the features of images at some layers: the mean over
/// layers of the mean squared difference. Source: Johnson et al., "Perceptual
/// Losses", 2016, section 3.2.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::explain::PerceptualLoss;
/// use vgg_surgery::Vgg16;
///
/// let model = Vgg16::nano().build(&Device::Cpu)?;
/// let loss = PerceptualLoss::new(model, ["relu2_2", "relu3_3"])?;
/// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
/// let other = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
/// let distance = loss.between(&x, &other)?.to_scalar::<f32>()?;
///
/// let target = loss.target(&other)?; // keeps the features of `other`
/// assert_eq!(target.loss(&x)?.to_scalar::<f32>()?, distance);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PerceptualLoss(Comparison);

/// A loss that compares the styles of images: the mean over layers of a
/// quarter of the mean squared difference of their Gram matrices. The images
/// may differ in size. Source: Gatys et al., "Image Style Transfer Using
/// Convolutional Neural Networks", 2016, equations 4 and 5.
#[derive(Clone, Debug)]
pub struct StyleLoss(Comparison);

/// A [`PerceptualLoss`] or [`StyleLoss`] against fixed images, whose features
/// were computed once.
#[derive(Clone, Debug)]
pub struct TargetLoss {
    comparison: Comparison,
    dims: Vec<usize>,
    features: Vec<Tensor>,
}

impl PerceptualLoss {
    /// Compares features at these layers. The loss owns its model; pass an
    /// `Arc<Model>` to share it.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`](crate::error::ExplainError::NoMap);
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if there are no
    /// layers; the errors of [`Graph::node`](crate::Graph::node).
    pub fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Ok(Self(Comparison::new(model, layers, Compared::Features)?))
    }

    /// The loss, a scalar, between two batches `(N, C, H, W)`. If `b` is a
    /// single image, each image of `a` is compared with it. Gradients of both
    /// are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::error::ExplainError::Input) if the shapes do
    /// not match; the errors of [`Model::forward`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.0.between(a, b)
    }

    /// The loss against a fixed batch or image, whose features are computed
    /// once and without gradients.
    ///
    /// # Errors
    /// The errors of [`Model::forward`].
    pub fn target(&self, x: &Tensor) -> Result<TargetLoss> {
        self.0.target(x)
    }
}

impl StyleLoss {
    /// Compares styles at these layers. The loss owns its model; pass an
    /// `Arc<Model>` to share it.
    ///
    /// # Errors
    /// As [`PerceptualLoss::new`].
    pub fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Ok(Self(Comparison::new(model, layers, Compared::Gram)?))
    }

    /// As [`PerceptualLoss::between`], but the images of `a` and `b` may
    /// differ in size.
    ///
    /// # Errors
    /// As [`PerceptualLoss::between`].
    pub fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.0.between(a, b)
    }

    /// As [`PerceptualLoss::target`].
    ///
    /// # Errors
    /// The errors of [`Model::forward`].
    pub fn target(&self, x: &Tensor) -> Result<TargetLoss> {
        self.0.target(x)
    }
}

impl TargetLoss {
    /// The loss, a scalar, of a batch `(N, C, H, W)`, with gradients.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::error::ExplainError::Input) if the shape does
    /// not match the target's; the errors of [`Model::forward`].
    pub fn loss(&self, x: &Tensor) -> Result<Tensor> {
        self.comparison.check(x, &self.dims)?;
        self.comparison.loss(x, &self.features)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub(super) model: Arc<Model>,
    pub(super) names: Vec<String>,
}

impl Layers {
    pub(super) fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let model = model.into();
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        check_any_layer("layers", &names)?;
        for name in &names {
            check_map(&model, name)?;
        }
        Ok(Self { model, names })
    }

    /// The number of channels of each layer.
    pub(super) fn channels(&self) -> Result<Vec<usize>> {
        let graph = self.model.graph();
        let nodes = self.names.iter().map(|name| graph.node(name));
        nodes.map(|node| Ok(node?.shape().channels())).collect()
    }

    pub(super) fn values(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(self.model.taps(&self.names, x)?.into_vec())
    }
}

/// The sum over layers. There is at least one.
pub(super) fn sum(parts: impl IntoIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&parts, 0)?.sum(0)?)
}

pub(super) fn mismatch(what: &'static str, expected: &'static str, x: &Tensor) -> Error {
    let actual = x.dims().to_vec();
    ExplainError::Input {
        what,
        expected,
        actual,
    }
    .into()
}

#[derive(Clone, Debug)]
struct Comparison {
    layers: Layers,
    compared: Compared,
}

impl Comparison {
    fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        layers: impl IntoIterator<Item = S>,
        compared: Compared,
    ) -> Result<Self> {
        let layers = Layers::new(model, layers)?;
        Ok(Self { layers, compared })
    }

    fn between(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.check(a, b.dims())?;
        self.loss(a, &self.features(b)?)
    }

    fn target(&self, x: &Tensor) -> Result<TargetLoss> {
        let features = self.features(&x.detach())?;
        Ok(TargetLoss {
            comparison: self.clone(),
            dims: x.dims().to_vec(),
            features: features.iter().map(Tensor::detach).collect(),
        })
    }

    fn check(&self, x: &Tensor, target: &[usize]) -> Result<()> {
        let (count, size) = (target.first(), target.get(1..));
        let is_style = self.compared == Compared::Gram;
        let counts_match = count == Some(&1) || count == x.dims().first();
        if counts_match && (is_style || size == x.dims().get(1..)) {
            return Ok(());
        }
        let expected = if is_style {
            "one target, or one for each image"
        } else {
            "one target or one for each image, of the images' size"
        };
        Err(mismatch("a loss between images", expected, x))
    }

    fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let values = self.layers.values(x)?;
        match self.compared {
            Compared::Features => Ok(values),
            Compared::Gram => values.iter().map(gram_matrix).collect(),
        }
    }

    fn loss(&self, x: &Tensor, target: &[Tensor]) -> Result<Tensor> {
        let features = self.features(x)?;
        let parts = features.iter().zip(target).map(|(value, target)| {
            let target = target.broadcast_as(value.shape())?;
            Ok(ops::mean_square(value, &target)?)
        });
        let weight = match self.compared {
            Compared::Features => 1.0,
            Compared::Gram => 0.25,
        };
        Ok((sum(parts)? * (weight / target.len() as f64))?)
    }
}

/// The Gram matrices `(N, C, C)` of feature maps `(N, C, H, W)`: for each
/// pair of channels, the mean over positions of their product. In f32 if the feature
/// maps are in half precision. Gradients are recorded. Source: Gatys et al.,
/// 2016, equation 3, divided by the number of positions.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) if the tensor has other dimensions.
pub fn gram_matrix(maps: &Tensor) -> Result<Tensor> {
    Ok(ops::gram_matrix(maps)?)
}

/// How much neighboring values of feature maps `(N, C, H, W)` differ: the mean
/// of the squared differences within columns plus the mean within rows, a
/// scalar. In f32 if the feature maps are in half precision. Gradients are
/// recorded. Source: Mahendran and Vedaldi, "Understanding Deep Image
/// Representations by Inverting Them", 2015, section 3, with beta = 2.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) if the tensor has other dimensions.
pub fn total_variation(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let mut total = Tensor::zeros((), wide_type(x.dtype()), x.device())?;
    for (dimension, side) in [(2, height), (3, width)] {
        if side > 1 {
            let after = x.narrow(dimension, 1, side - 1)?;
            let before = x.narrow(dimension, 0, side - 1)?;
            total = (total + ops::mean_square(&after, &before)?)?;
        }
    }
    Ok(total)
}
