use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::data::Targets;
use crate::error::{Error, Result, TrainingError};

use super::formula::{
    Wish, absolute, binary_cross_entropy, cross_entropy, huber, mean_of, squared,
};
use super::goal::{Dims, Goal};
use super::known::with_gradient;

/// A loss of the user's: the network's output and the targets to a scalar.
type Closure = dyn Fn(&Tensor, &Targets) -> Result<Tensor> + Send + Sync;

/// How wrong a network's output is: the mean over a batch.
///
/// An example of weight `w` counts `w` times in the sum; the sum is divided by
/// the number of examples, as in Keras.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::{Loss, Targets};
///
/// let logits = Tensor::new(&[[0f32, 0.0], [1000.0, 0.0]], &Device::Cpu)?;
/// let loss = Loss::cross_entropy().compute(&logits, &Targets::Classes(vec![0, 0]), None)?;
/// assert!((loss.to_scalar::<f32>()? - 2f32.ln() / 2.0).abs() < 1e-6);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Loss {
    kind: Kind,
    pub(super) smoothing: f64,
    pub(super) class_weights: Option<Vec<f64>>,
    from_logits: bool,
}

#[derive(Clone)]
enum Kind {
    CrossEntropy,
    BinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber(f64),
    Custom(Arc<Closure>),
}

/// Which value of a network a loss is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// What goes into the softmax at the end, if there is one.
    BeforeSoftmax,
    /// What goes into the logistic function at the end, if there is one.
    BeforeSigmoid,
    /// The output as it is.
    Output,
}

/// A loss, and its gradient for the scores it was taken of.
pub(super) struct Graded {
    pub(super) value: f64,
    /// Scalar whose gradient for the scores is the loss's.
    pub(super) tensor: Tensor,
}

impl Loss {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            smoothing: 0.0,
            class_weights: None,
            from_logits: false,
        }
    }

    /// Categorical cross-entropy, for classes or shares `(N, K)` as targets.
    ///
    /// Of a network that ends in a softmax it is computed from the logits that
    /// go into it, so that it never overflows; without one the output is taken
    /// for logits.
    pub fn cross_entropy() -> Self {
        Self::of(Kind::CrossEntropy)
    }

    /// Binary cross-entropy, the mean over all outputs, for targets between 0
    /// and 1 of the output's shape, or classes (0 and 1 for a single output,
    /// one of `K` for more).
    ///
    /// Of a network that ends in the logistic function it is computed from the
    /// logits that go into it, so that it never overflows; without one the
    /// output is taken for logits.
    pub fn binary_cross_entropy() -> Self {
        Self::of(Kind::BinaryCrossEntropy)
    }

    /// The mean of the squared differences from targets of the output's shape,
    /// axes of size 1 aside.
    pub fn mean_squared_error() -> Self {
        Self::of(Kind::MeanSquaredError)
    }

    /// The mean of the absolute differences from targets of the output's
    /// shape; its gradient at 0 is 0.
    pub fn mean_absolute_error() -> Self {
        Self::of(Kind::MeanAbsoluteError)
    }

    /// Half the squared difference up to `delta`, and beyond it
    /// `delta * (|difference| - delta / 2)` (Huber 1964); the mean.
    pub fn huber(delta: f64) -> Self {
        Self::of(Kind::Huber(delta))
    }

    /// A loss of one's own, of the network's output: a scalar. Its gradients
    /// are candle's. Weights of examples are not applied.
    pub fn custom(
        loss: impl Fn(&Tensor, &Targets) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Kind::Custom(Arc::new(loss)))
    }

    /// Mixes this share of the uniform distribution into the targets
    /// (Szegedy et al. 2016), from 0 to 1: for the cross-entropies only.
    pub fn label_smoothing(mut self, share: f64) -> Self {
        self.smoothing = share;
        self
    }

    /// Lets examples, and of maps each position, count by their class, as
    /// Keras' `class_weight`; those of mixed classes by the mix of the weights.
    /// For cross-entropy, and for binary cross-entropy of classes or of a
    /// single output, which takes two weights: of 0 and of 1.
    pub fn class_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    /// Takes the network's output for logits, whatever it ends in.
    pub fn from_logits(mut self) -> Self {
        self.from_logits = true;
        self
    }

    /// What the loss is called: `"cross-entropy"`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::CrossEntropy => "cross-entropy",
            Kind::BinaryCrossEntropy => "binary cross-entropy",
            Kind::MeanSquaredError => "mean squared error",
            Kind::MeanAbsoluteError => "mean absolute error",
            Kind::Huber(_) => "huber",
            Kind::Custom(_) => "custom",
        }
    }

    pub(super) fn is_cross_entropy(&self) -> bool {
        matches!(self.kind, Kind::CrossEntropy)
    }

    pub(super) fn is_from_logits(&self) -> bool {
        self.from_logits
    }

    pub(super) fn takes(&self) -> Takes {
        match self.kind {
            _ if self.from_logits => Takes::Output,
            Kind::CrossEntropy => Takes::BeforeSoftmax,
            Kind::BinaryCrossEntropy => Takes::BeforeSigmoid,
            _ => Takes::Output,
        }
    }

    /// Whether its scores above 0, rather than those above 0.5, mean yes.
    pub(super) fn has_logits(&self) -> bool {
        matches!(self.kind, Kind::CrossEntropy | Kind::BinaryCrossEntropy)
    }

    /// The loss as a scalar with a gradient, for a training loop of one's own:
    /// of logits `(N, K)` for the cross-entropies, of outputs `(N, ..)` for
    /// the others; `weights` is `(N)`.
    ///
    /// # Errors
    /// [`TrainingError::Targets`], [`TrainingError::ClassOutOfRange`],
    /// [`TrainingError::Setting`], and those of a custom loss.
    pub fn compute(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        Ok(self.grade(scores, targets, weights)?.tensor)
    }

    pub(super) fn grade(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
    ) -> Result<Graded> {
        self.check()?;
        if let Kind::Custom(loss) = &self.kind {
            let tensor = loss(scores, targets)?;
            let value = scalar(&tensor)?;
            return Ok(Graded { value, tensor });
        }
        let (value, gradient) = self.value_and_gradient(scores, targets, weights)?;
        let gradient = Tensor::from_vec(gradient, scores.shape(), &Device::Cpu)?
            .to_dtype(scores.dtype())?
            .to_device(scores.device())?;
        let tensor = with_gradient(scores, value, gradient)?;
        Ok(Graded { value, tensor })
    }

    /// Computed in f64 beside the network: there are few scores.
    fn value_and_gradient(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
    ) -> Result<(f64, Vec<f64>)> {
        let dims = Dims::of(scores, self.name())?;
        if self.is_cross_entropy() && dims.classes == 1 {
            return Err(Error::Training(TrainingError::Setting {
                setting: "a cross-entropy of one output".to_string(),
                reason: "is always 0; take Loss::binary_cross_entropy() and a logistic function, \
                         or an output for each class",
            }));
        }
        self.check_class_weights(&dims, targets)?;
        let values = values(scores)?;
        let goal = Goal::new(self, targets, scores)?;
        let factors = self.example_weights(weights, &dims)?;
        let class_weights = self.class_weights.as_deref();
        let mut gradient = vec![0.0; values.len()];
        let mut sum = 0.0;
        let each = dims.classes * dims.positions;
        for (example, factor) in factors.iter().enumerate() {
            let range = example * each..(example + 1) * each;
            let score = &values[range.clone()];
            let part = &mut gradient[range];
            let wish = &Wish {
                goal: |at| goal.at(example, at),
                weight: |position| goal.weight(class_weights, example, position),
            };
            let loss = match self.kind {
                Kind::CrossEntropy => cross_entropy(score, &dims, wish, part),
                Kind::BinaryCrossEntropy => mean_of(score, &dims, wish, part, binary_cross_entropy),
                Kind::MeanSquaredError => mean_of(score, &dims, wish, part, squared),
                Kind::MeanAbsoluteError => mean_of(score, &dims, wish, part, absolute),
                Kind::Huber(delta) => mean_of(score, &dims, wish, part, |s, g| huber(s, g, delta)),
                Kind::Custom(_) => 0.0,
            };
            let share = factor / dims.batch as f64;
            sum += share * loss;
            part.iter_mut().for_each(|value| *value *= share);
        }
        Ok((sum, gradient))
    }

    fn example_weights(&self, weights: Option<&Tensor>, dims: &Dims) -> Result<Vec<f64>> {
        match weights {
            Some(weights) if weights.dims() == [dims.batch] => values(weights),
            Some(weights) => Err(Error::Training(TrainingError::Targets {
                loss: self.name(),
                expected: format!("weights ({}) of its examples", dims.batch),
                actual: format!("{:?}", weights.dims()),
            })),
            None => Ok(vec![1.0; dims.batch]),
        }
    }

    /// Whether a single output says yes or no.
    pub(super) fn is_yes_or_no(&self, dims: &Dims) -> bool {
        matches!(self.kind, Kind::BinaryCrossEntropy) && dims.classes == 1
    }

    /// Whether it is about numbers, so that nothing is told apart.
    pub(super) fn is_regression(&self) -> bool {
        matches!(
            self.kind,
            Kind::MeanSquaredError | Kind::MeanAbsoluteError | Kind::Huber(_)
        )
    }

    fn check(&self) -> Result<()> {
        let setting = |setting: String, reason| Err(TrainingError::Setting { setting, reason });
        if self.smoothing != 0.0 && !self.has_logits() {
            setting(
                format!("label_smoothing({}) of {}", self.smoothing, self.name()),
                "means nothing; it is for the cross-entropies",
            )?;
        }
        if self.class_weights.is_some() && !self.has_logits() {
            setting(
                format!("class_weights of {}", self.name()),
                "mean nothing; they are for the cross-entropies",
            )?;
        }
        if !(0.0..=1.0).contains(&self.smoothing) {
            setting(
                format!("label_smoothing({})", self.smoothing),
                "must be from 0 to 1",
            )?;
        }
        if let Kind::Huber(delta) = self.kind
            && !(delta > 0.0 && delta.is_finite())
        {
            setting(format!("huber({delta})"), "must be above 0")?;
        }
        let weights = self.class_weights.iter().flatten();
        if !weights.copied().all(|w| w.is_finite() && w >= 0.0) {
            setting("class_weights".to_string(), "must be finite and at least 0")?;
        }
        Ok(())
    }

    fn check_class_weights(&self, dims: &Dims, targets: &Targets) -> Result<()> {
        let Some(weights) = &self.class_weights else {
            return Ok(());
        };
        let is_yes_or_no = self.is_yes_or_no(dims);
        let count = if is_yes_or_no { 2 } else { dims.classes };
        let reason = if weights.len() != count {
            "must hold one weight for each output of the network, and two for a single yes or no"
        } else if !is_yes_or_no
            && !self.is_cross_entropy()
            && !matches!(targets, Targets::Classes(_))
        {
            "mean nothing where an example may be of several classes or of none"
        } else {
            return Ok(());
        };
        Err(Error::Training(TrainingError::Setting {
            setting: format!("class_weights of {} classes", weights.len()),
            reason,
        }))
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

pub(super) fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?.flatten_all()?;
    Ok(tensor.to_dtype(DType::F64)?.to_vec1()?)
}

fn scalar(tensor: &Tensor) -> Result<f64> {
    match values(tensor)?.as_slice() {
        [value] => Ok(*value),
        _ => Err(Error::Training(TrainingError::Targets {
            loss: "a custom loss",
            expected: "its closure to give a scalar".to_string(),
            actual: format!("{:?}", tensor.dims()),
        })),
    }
}
