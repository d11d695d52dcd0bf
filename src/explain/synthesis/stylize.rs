use candle_core::{DType, Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::{check_map, check_one};
use crate::explain::lbfgs::Lbfgs;
use crate::explain::numbers::{gradient, wide, wide_type};
use crate::explain::perceptual::{gram_matrix, total_variation};
use crate::explain::space::{Space, move_by};
use crate::graph::Node;
use crate::layer::{Layer, Pooling};
use crate::model::{Model, TapLosses};
use crate::ops::{Compared, TapLoss};
use crate::optim::{Adam, Clip, OptimizerState, Update};
use crate::preprocess::Image;

/// How an image is changed to lower a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StyleOptimizer {
    /// Limited-memory BFGS, which remembers this many steps: PyTorch's
    /// `LBFGS` with a learning rate of 1 and one iteration a step.
    Lbfgs {
        /// Steps remembered.
        history: usize,
    },
    /// Adam.
    Adam {
        /// How far a value moves in a step, as a fraction of the range from black
        /// to white.
        learning_rate: f64,
    },
}

/// Paints an image in the style of another: the image is changed until a
/// network's features are those of the one and their Gram matrices those of
/// the other. Source: Gatys et al., "Image Style Transfer Using Convolutional
/// Neural Networks", 2016; each layer's error is taken relative to its target,
/// so that weights mean the same for every network and preprocessing.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::{Image, Stylize, Vgg16};
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
}

/// What [`Stylize::run`] made.
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
    /// its average pooling, style over content 100 to 1, a little smoothing,
    /// and 100 steps of L-BFGS.
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
        }
    }

    /// Sets the layers that keep the content.
    pub fn content_layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.content_layers = layers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the layers that give the style.
    pub fn style_layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.style_layers = layers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the weight of the content's loss.
    pub fn content_weight(mut self, weight: f64) -> Self {
        self.content_weight = weight;
        self
    }

    /// Sets the weight of the style's loss.
    pub fn style_weight(mut self, weight: f64) -> Self {
        self.style_weight = weight;
        self
    }

    /// Sets the weight of the [`total_variation`] of the image, black being
    /// 0 and white 1.
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

    /// Keeps the network's own max pools instead of putting average pools in
    /// their place.
    pub fn max_pooling(mut self) -> Self {
        self.average_pooling = false;
        self
    }

    /// Paints `content` in the style of `style`, each at its own size.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`], [`Error::InvalidSetting`],
    /// [`ExplainError::NonFinite`] if a step leads out of all numbers;
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no preprocessing; those of the
    /// layers' names and of [`Model::forward`].
    pub fn run(&self, model: &Model, content: &Image, style: &Image) -> Result<Stylized> {
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

    /// As [`Stylize::run`] for inputs `(1, C, H, W)` of the network, starting
    /// from `content`: gives the input found, not clipped, and the losses.
    /// Learning rate and variation are in units of the input, which is found
    /// in the model's type, or in f32 if that is of half precision.
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
        let pooled = self.average_pooling.then(|| averaging(model)).transpose()?;
        let model = pooled.as_ref().unwrap_or(model);
        let goal = Goal::new(self, model, content, style)?;
        let x = content.detach().to_dtype(wide_type(model.dtype()))?;
        let x = Var::from_tensor(&x)?;
        let mut mover = Mover::new(self.optimizer);
        let mut losses = Vec::new();
        for _ in 0..self.steps {
            let loss = goal.loss(&x)?;
            let value = loss.to_dtype(DType::F32)?.to_scalar::<f32>()?;
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

    fn check(&self, model: &Model) -> Result<()> {
        if self.style_layers.is_empty() {
            return Err(Error::setting(
                "style_layers []".to_string(),
                "must name at least one layer",
            ));
        }
        for layer in self.content_layers.iter().chain(&self.style_layers) {
            check_map(model, layer)?;
        }
        for (name, weight) in [
            ("content_weight", self.content_weight),
            ("style_weight", self.style_weight),
            ("variation_weight", self.variation_weight),
        ] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::setting(
                    format!("{name} {weight}"),
                    "must be from 0 on",
                ));
            }
        }
        match self.optimizer {
            StyleOptimizer::Lbfgs { history } => Error::at_least_one("history", history),
            StyleOptimizer::Adam { learning_rate } if learning_rate > 0.0 => Ok(()),
            StyleOptimizer::Adam { learning_rate } => Err(Error::setting(
                format!("learning_rate {learning_rate}"),
                "must be above 0",
            )),
        }
    }
}

/// What the image's features are to become.
struct Goal<'a> {
    model: &'a Model,
    losses: TapLosses,
    variation_weight: f64,
}

impl<'a> Goal<'a> {
    fn new(
        style: &'a Stylize,
        model: &'a Model,
        content: &Tensor,
        painting: &Tensor,
    ) -> Result<Self> {
        let features = |layers: &[String], x: &Tensor| -> Result<Vec<Tensor>> {
            Ok(model.taps(layers, &x.detach())?.into_vec())
        };
        let contents = features(&style.content_layers, content)?;
        let styles = features(&style.style_layers, painting)?;
        let styles = styles.iter().map(gram_matrix).collect::<Result<_>>()?;
        let contents = relative(contents, style.content_weight)?;
        let styles = relative(styles, style.style_weight)?;
        let contents = style.content_layers.iter().zip(contents);
        let styles = style.style_layers.iter().zip(styles);
        let targets = contents
            .map(|target| (Compared::Features, target))
            .chain(styles.map(|target| (Compared::Gram, target)));
        let losses = targets.map(|(compared, (layer, (target, weight)))| {
            let pick = model.graph().resolve(layer)?;
            Ok((pick, TapLoss::new(compared, target, weight)?))
        });
        let losses = losses.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            model,
            losses: model.losses_at(losses, content)?,
            variation_weight: style.variation_weight,
        })
    }

    fn loss(&self, x: &Tensor) -> Result<Tensor> {
        let variation = (total_variation(x)? * self.variation_weight)?;
        Ok((variation + self.losses.of(self.model, x)?)?)
    }
}

/// Weights that sum up to `weight` and make each error relative to the mean
/// square of its target.
fn relative(targets: Vec<Tensor>, weight: f64) -> Result<Vec<(Tensor, f64)>> {
    let share = weight / targets.len().max(1) as f64;
    let weighed = targets.into_iter().map(|target| {
        let target = wide(&target)?;
        let square = target.sqr()?.mean_all()?.to_dtype(DType::F64)?;
        let square = square.to_scalar::<f64>()?;
        let weight = if square > 0.0 { share / square } else { share };
        Ok((target, weight))
    });
    weighed.collect()
}

/// The model with average pools instead of its max pools.
fn averaging(model: &Model) -> Result<Model> {
    let is_max = |node: &Node| matches!(node.layer(), Layer::MaxPool2d(_));
    let graph = model.graph().clone();
    Ok(model.with_graph(if graph.nodes().any(is_max) {
        graph.swap_pool(is_max, Pooling::Average)?
    } else {
        graph
    }))
}

/// An optimizer of one image.
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
