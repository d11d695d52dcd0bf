use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Result, require};
use crate::graph::{Graph, Part, Pick};
use crate::layers::Activation;

/// A custom loss: the network's output and the targets to a scalar.
type Closure = dyn Fn(&Tensor, &Targets) -> Result<Tensor> + Send + Sync;

#[derive(Clone)]
pub(super) enum LossKind {
    CrossEntropy,
    BinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber(f64),
    Custom(Arc<Closure>),
}

/// A loss: how wrong a network's output is, as the mean over a batch.
///
/// An example of weight `w` counts `w` times in the sum. The sum is divided by
/// the number of examples, as in Keras.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::data::Targets;
/// use vgg_surgery::Loss;
///
/// let logits = Tensor::new(&[[0f32, 0.0], [1000.0, 0.0]], &Device::Cpu)?;
/// let loss = Loss::cross_entropy().compute(&logits, &Targets::Classes(vec![0, 0]), None)?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln() / 2.0).abs() < 1e-6);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Loss {
    pub(super) kind: LossKind,
    pub(super) smoothing: f64,
    pub(super) class_weights: Option<Vec<f64>>,
    from_logits: bool,
}

impl Loss {
    fn of(kind: LossKind) -> Self {
        Self {
            kind,
            smoothing: 0.0,
            class_weights: None,
            from_logits: false,
        }
    }

    /// Categorical cross-entropy, for classes or probabilities `(N, K)` as
    /// targets. Of an output `(N, K, H, W)` it is the mean over the positions, for
    /// probabilities of the same shape or for classes `(N, H, W)`: values of an
    /// integer type, as masks are. Pixels without a class
    /// ([`Mask::NO_CLASS`](crate::data::Mask::NO_CLASS)) do not count.
    ///
    /// If the network ends in a softmax, the loss is computed from the logits
    /// before it, so it never overflows. Otherwise the output is taken as
    /// logits.
    pub fn cross_entropy() -> Self {
        Self::of(LossKind::CrossEntropy)
    }

    /// Binary cross-entropy, the mean over all outputs, for targets between 0
    /// and 1 of the output's shape, or classes (0 and 1 for a single output,
    /// one of `K` for more).
    ///
    /// If the network ends in the logistic function, the loss is computed from
    /// the logits before it, so it never overflows. Otherwise the output is
    /// taken as logits.
    pub fn binary_cross_entropy() -> Self {
        Self::of(LossKind::BinaryCrossEntropy)
    }

    /// The mean of the squared differences from targets of the output's shape,
    /// apart from axes of size 1.
    pub fn mean_squared_error() -> Self {
        Self::of(LossKind::MeanSquaredError)
    }

    /// The mean of the absolute differences from targets of the output's
    /// shape; its gradient at 0 is 0.
    pub fn mean_absolute_error() -> Self {
        Self::of(LossKind::MeanAbsoluteError)
    }

    /// Half the squared difference up to `delta`, and beyond it
    /// `delta * (|difference| - delta / 2)` (Huber 1964); the mean.
    pub fn huber(delta: f64) -> Self {
        Self::of(LossKind::Huber(delta))
    }

    /// A custom loss: a function of the network's output and the targets that
    /// returns a scalar. Its gradients are candle's. Weights of examples are not
    /// applied.
    pub fn custom(
        loss: impl Fn(&Tensor, &Targets) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self::of(LossKind::Custom(Arc::new(loss)))
    }

    /// Mixes this fraction of the uniform distribution into the targets
    /// (Szegedy et al. 2016), from 0 to 1. For the cross-entropies only.
    pub fn label_smoothing(mut self, fraction: f64) -> Self {
        self.smoothing = fraction;
        self
    }

    /// Weights examples, and of feature maps each position, by their class, as
    /// Keras' `class_weight` does. An example of mixed classes has the mix of
    /// their weights. For cross-entropy, and for binary cross-entropy of classes
    /// or of a single output, which takes two weights: of class 0 and of class 1.
    pub fn class_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    /// Takes the network's output as logits, whatever its activation.
    pub fn from_logits(mut self) -> Self {
        self.from_logits = true;
        self
    }

    /// The loss's name: `"cross-entropy"`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            LossKind::CrossEntropy => "cross-entropy",
            LossKind::BinaryCrossEntropy => "binary cross-entropy",
            LossKind::MeanSquaredError => "mean squared error",
            LossKind::MeanAbsoluteError => "mean absolute error",
            LossKind::Huber(_) => "huber",
            LossKind::Custom(_) => "custom",
        }
    }

    pub(in crate::train) fn is_cross_entropy(&self) -> bool {
        matches!(self.kind, LossKind::CrossEntropy)
    }

    pub(in crate::train) fn is_custom(&self) -> bool {
        matches!(self.kind, LossKind::Custom(_))
    }

    pub(in crate::train) fn is_regression(&self) -> bool {
        match self.kind {
            LossKind::MeanSquaredError | LossKind::MeanAbsoluteError | LossKind::Huber(_) => true,
            LossKind::CrossEntropy | LossKind::BinaryCrossEntropy | LossKind::Custom(_) => false,
        }
    }

    pub(in crate::train) fn is_binary_cross_entropy(&self) -> bool {
        matches!(self.kind, LossKind::BinaryCrossEntropy)
    }

    /// Whether a single score decides between class 0 and class 1.
    pub(super) fn is_binary(&self, classes: usize) -> bool {
        self.is_binary_cross_entropy() && classes == 1
    }

    pub(in crate::train) fn has_logits(&self) -> bool {
        self.undone_activation().is_some()
    }

    pub(in crate::train) fn is_from_logits(&self) -> bool {
        self.from_logits
    }

    /// The activation that turns logits into probabilities.
    pub(in crate::train) fn undone_activation(&self) -> Option<Activation> {
        match self.kind {
            LossKind::CrossEntropy => Some(Activation::Softmax),
            LossKind::BinaryCrossEntropy => Some(Activation::Sigmoid),
            LossKind::MeanSquaredError
            | LossKind::MeanAbsoluteError
            | LossKind::Huber(_)
            | LossKind::Custom(_) => None,
        }
    }

    /// The value of a network that the loss reads: the first output. If this ends
    /// in the activation that turns logits into probabilities, the loss reads the
    /// value before the activation.
    pub(in crate::train) fn input(&self, graph: &Graph) -> Pick {
        let output = graph.expect_node(graph.outputs()[0]);
        let is_undone = self.undone_activation() == Some(output.layer().activation());
        match (output.layer(), output.inputs()) {
            _ if !is_undone || self.from_logits => Pick::whole(output.id()),
            (layer, &[input]) if layer.rules().passes_input_on() => Pick::whole(input),
            _ => Pick {
                id: output.id(),
                part: Part::Pre,
            },
        }
    }

    /// The score of an output that has this probability.
    pub(in crate::train) fn score_at(&self, probability: f64) -> f64 {
        if self.has_logits() {
            libm::log(probability / (1.0 - probability))
        } else {
            probability
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let (name, smoothing, has_logits) = (self.name(), self.smoothing, self.has_logits());
        require(
            smoothing == 0.0 || has_logits,
            format_args!("label_smoothing({smoothing}) of {name}"),
            "has no effect; it is only for the cross-entropies",
        )?;
        require(
            self.class_weights.is_none() || has_logits,
            format_args!("class_weights of {name}"),
            "have no effect; they are only for the cross-entropies",
        )?;
        require(
            (0.0..=1.0).contains(&smoothing),
            format_args!("label_smoothing({smoothing})"),
            "must be from 0 to 1",
        )?;
        if let LossKind::Huber(delta) = self.kind {
            require(
                delta > 0.0 && delta.is_finite(),
                format_args!("huber({delta})"),
                "must be above 0",
            )?;
        }
        let weights = || self.class_weights.iter().flatten();
        require(
            weights().all(|weight| weight.is_finite() && *weight >= 0.0),
            "class_weights",
            "must be finite and at least 0",
        )?;
        require(
            self.class_weights.is_none() || weights().any(|&weight| weight > 0.0),
            "class_weights",
            "must not all be 0, for nothing would be learned",
        )
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self::cross_entropy()
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss")
            .field("name", &self.name())
            .field("smoothing", &self.smoothing)
            .field("class_weights", &self.class_weights)
            .field("from_logits", &self.from_logits)
            .finish()
    }
}
