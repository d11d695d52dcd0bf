use candle_core::{DType, Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::{
    MEMORY_LIMIT, check_any_layer, check_map, check_not_negative, check_one, check_positive,
};
use crate::explain::lbfgs::Lbfgs;
use crate::explain::numbers::{gradient, number};
use crate::explain::perceptual::{gram_matrix, total_variation};
use crate::explain::space::{Space, move_by};
use crate::graph::{Node, Pick};
use crate::layers::{Layer, Pooling};
use crate::model::Model;
use crate::ops::{Compared, TapLoss, wide, wide_type};
use crate::optim::{Adam, Clip, OptimizerState, Update};
use crate::preprocess::{Image, Size};

/// The optimizer that changes an image to lower its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StyleOptimizer {
    /// Limited-memory BFGS: PyTorch's `LBFGS` with a learning rate of 1 and one
    /// iteration a step.
    Lbfgs {
        /// How many steps it remembers.
        history: usize,
    },
    /// Adam.
    Adam {
        /// The change of a value in a step, as a fraction of the range from
        /// black to white.
        learning_rate: f64,
    },
}

/// Paints an image in the style of another. The image is changed until its
/// features match the content image and the Gram matrices of its features
/// match the style image. Source: Gatys et al., "Image Style Transfer Using
/// Convolutional Neural Networks", 2016. Each layer's error is relative to its
/// target, which makes the weights independent of network and preprocessing.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::Stylize;
/// use vgg_surgery::{Image, Vgg16};
///
/// let model = Vgg16::nano().build(&Device::Cpu)?;
/// let content = Image::from_rgb8(48, 48, vec![90; 48 * 48 * 3])?;
/// let stripes: Vec<u8> = (0..48 * 48 * 3).map(|i| (i % 36 * 7) as u8).collect();
/// let style = Image::from_rgb8(48, 48, stripes)?;
/// let stylized = Stylize::new().steps(3).run(&model, &content, &style)?;
/// assert_ne!(stylized.image, content);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Stylize {
    content_layers: Vec<String>,
    style_layers: Vec<String>,
    content_weight: f64,
    style_weight: f64,
    variation_weight: f64,
    steps: usize,
    optimizer: StyleOptimizer,
    average_pooling: bool,
    memory_limit: u64,
}

/// The result of [`Stylize::run`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stylized {
    /// The image, of the content's size.
    pub image: Image,
    /// The loss before each step.
    pub losses: Vec<f32>,
}

impl Default for Stylize {
    fn default() -> Self {
        Self::new()
    }
}

impl Stylize {
    /// The paper's layers (content `conv4_2`, style `conv1_1` to `conv5_1`) and
    /// average pooling, a style weight of 100 and a content weight of 1, a
    /// little smoothing, and 100 steps of L-BFGS.
    pub fn new() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
        Self {
            content_layers: owned(&["relu4_2"]),
            style_layers: owned(&["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]),
            content_weight: 1.0,
            style_weight: 100.0,
            variation_weight: 1.0,
            steps: 100,
            optimizer: StyleOptimizer::Lbfgs { history: 10 },
            average_pooling: true,
            memory_limit: MEMORY_LIMIT,
        }
    }

    /// Sets the layers at which the content is compared.
    pub fn content_layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.content_layers = layers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the layers at which the style is compared.
    pub fn style_layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.style_layers = layers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the weight of the content loss.
    pub fn content_weight(mut self, weight: f64) -> Self {
        self.content_weight = weight;
        self
    }

    /// Sets the weight of the style loss.
    pub fn style_weight(mut self, weight: f64) -> Self {
        self.style_weight = weight;
        self
    }

    /// Sets the weight of the [`total_variation`] of the image, with black as 0
    /// and white as 1.
    pub fn variation_weight(mut self, weight: f64) -> Self {
        self.variation_weight = weight;
        self
    }

    /// Sets the number of steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the optimizer.
    pub fn optimizer(mut self, optimizer: StyleOptimizer) -> Self {
        self.optimizer = optimizer;
        self
    }

    /// Keeps the network's max pools. By default they become average pools.
    pub fn max_pooling(mut self) -> Self {
        self.average_pooling = false;
        self
    }

    /// Sets the most memory, in bytes, that the network's values may take; by
    /// default 8 GB. A larger image is refused before anything is computed.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Paints `content` in the style of `style`, each at its own size.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`], [`Error::InvalidSetting`];
    /// [`ImageError::NetworkMemory`](crate::error::ImageError::NetworkMemory) if one of them is too large;
    /// [`ExplainError::NonFinite`] if the loss becomes infinite or NaN;
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no
    /// preprocessing; the errors of [`Graph::node`](crate::Graph::node) and
    /// [`Model::forward`].
    pub fn run(&self, model: &Model, content: &Image, style: &Image) -> Result<Stylized> {
        self.check(model)?;
        self.check_size(model, content.size())?;
        self.check_size(model, style.size())?;
        let space = Space::of(model)?;
        let mut scaled = self.clone();
        scaled.variation_weight /= space.range * space.range;
        if let StyleOptimizer::Adam { learning_rate } = &mut scaled.optimizer {
            *learning_rate *= space.range;
        }
        let (content, style) = (space.input(content)?, space.input(style)?);
        let (x, losses) = scaled.run_tensors(model, &content, &style)?;
        Ok(Stylized {
            image: space.image(&x)?,
            losses,
        })
    }

    /// As [`Stylize::run`], for inputs `(1, C, H, W)` of the network. Starts
    /// from `content`, and returns the input found, not clipped, and the
    /// losses. Learning rate and variation weight are in units of the input.
    /// The result has the model's type, or f32 for half precision.
    ///
    /// # Errors
    /// As [`Stylize::run`]; [`ExplainError::Input`] unless both are one
    /// image.
    pub fn run_tensors(
        &self,
        model: &Model,
        content: &Tensor,
        style: &Tensor,
    ) -> Result<(Tensor, Vec<f32>)> {
        self.check(model)?;
        check_one("a painting", content)?;
        check_one("a style", style)?;
        for image in [content, style] {
            if let &[_, _, height, width] = image.dims() {
                self.check_size(model, Size { width, height })?;
            }
        }
        let pooled = self.average_pooling.then(|| averaging(model)).transpose()?;
        let model = pooled.as_ref().unwrap_or(model);
        let losses_at_layers = self.losses_at_layers(model, content, style)?;
        let layers = model.losses_at(losses_at_layers, content)?;
        let x = content.detach().to_dtype(wide_type(model.dtype()))?;
        let x = Var::from_tensor(&x)?;
        let mut mover = Mover::new(self.optimizer);
        let mut losses = Vec::new();
        for _ in 0..self.steps {
            let variation = (total_variation(&x)? * self.variation_weight)?;
            let loss = (variation + layers.of(model, &x)?)?;
            let value = number(&loss)? as f32;
            if !value.is_finite() {
                return Err(ExplainError::NonFinite {
                    what: "the loss",
                    advice: "use Adam, or lower the weights",
                }
                .into());
            }
            losses.push(value);
            mover.step(&x, &gradient(&loss, &x)?)?;
        }
        Ok((x.as_detached_tensor(), losses))
    }

    fn check_size(&self, model: &Model, image: Size) -> Result<()> {
        let layers = self.content_layers.iter().chain(&self.style_layers);
        let nodes = layers.map(|layer| Ok(model.graph().resolve(layer)?.id));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        model.check_memory_of(&nodes, image, self.memory_limit)
    }

    /// Each loss is relative to the mean square of its target.
    fn losses_at_layers(
        &self,
        model: &Model,
        content: &Tensor,
        style: &Tensor,
    ) -> Result<Vec<(Pick, TapLoss)>> {
        let mut losses = Vec::new();
        for (compared, layers, image, weight) in [
            (
                Compared::Features,
                &self.content_layers,
                content,
                self.content_weight,
            ),
            (Compared::Gram, &self.style_layers, style, self.style_weight),
        ] {
            let weight = weight / layers.len() as f64;
            let features = model.taps(layers, &image.detach())?.into_vec();
            for (layer, features) in layers.iter().zip(features) {
                let target = match compared {
                    Compared::Features => wide(&features)?,
                    Compared::Gram => gram_matrix(&features)?,
                };
                let square = number(&target.sqr()?.mean_all()?)?;
                let weight = if square > 0.0 {
                    weight / square
                } else {
                    weight
                };
                let pick = model.graph().resolve(layer)?;
                losses.push((pick, TapLoss::new(compared, target, weight)?));
            }
        }
        Ok(losses)
    }

    fn check(&self, model: &Model) -> Result<()> {
        check_any_layer("style_layers", &self.style_layers)?;
        for layer in self.content_layers.iter().chain(&self.style_layers) {
            check_map(model, layer)?;
        }
        for (name, weight) in [
            ("content_weight", self.content_weight),
            ("style_weight", self.style_weight),
            ("variation_weight", self.variation_weight),
        ] {
            check_not_negative(name, weight)?;
        }
        match self.optimizer {
            StyleOptimizer::Lbfgs { history } => Error::at_least_one("history", history),
            StyleOptimizer::Adam { learning_rate } => {
                check_positive("learning_rate", learning_rate)
            }
        }
    }
}

/// The model with average pools in place of its max pools.
fn averaging(model: &Model) -> Result<Model> {
    let is_max = |node: &Node| matches!(node.layer(), Layer::MaxPool2d(_));
    let graph = model.graph().clone();
    Ok(model.with_graph(if graph.nodes().any(is_max) {
        graph.swap_pool(is_max, Pooling::Average)?
    } else {
        graph
    }))
}

/// The optimizer with its state.
enum Mover {
    Lbfgs(Lbfgs),
    Adam(OptimizerState, f64),
}

impl Mover {
    fn new(optimizer: StyleOptimizer) -> Self {
        match optimizer {
            StyleOptimizer::Lbfgs { history } => Self::Lbfgs(Lbfgs::new(1.0, history)),
            StyleOptimizer::Adam { learning_rate } => {
                Self::Adam(OptimizerState::new(Adam::new(learning_rate)), learning_rate)
            }
        }
    }

    fn step(&mut self, x: &Var, gradient: &Tensor) -> Result<()> {
        match self {
            Self::Lbfgs(lbfgs) => {
                let values = gradient.to_dtype(DType::F64)?.flatten_all()?;
                let step = lbfgs.step(values.to_vec1::<f64>()?);
                let step = Tensor::from_vec(step, x.dims(), x.device())?;
                move_by(x, &step.to_dtype(x.dtype())?)
            }
            Self::Adam(state, learning_rate) => {
                let update = Update {
                    name: "image",
                    variable: x,
                    gradient,
                    learning_rate: *learning_rate,
                    decay: None,
                };
                state.step(&[update], Clip::None)
            }
        }
    }
}
