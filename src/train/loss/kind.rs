use std::sync::Arc;

use candle_core::Tensor;

use crate::data::Targets;
use crate::error::Result;

/// A custom loss: the network's output and the targets to a scalar.
pub(super) type Closure = dyn Fn(&Tensor, &Targets) -> Result<Tensor> + Send + Sync;

/// The formula of a loss.
#[derive(Clone)]
pub(super) enum LossKind {
    CrossEntropy,
    BinaryCrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber(f64),
    Custom(Arc<Closure>),
}

impl LossKind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::BinaryCrossEntropy => "binary cross-entropy",
            Self::MeanSquaredError => "mean squared error",
            Self::MeanAbsoluteError => "mean absolute error",
            Self::Huber(_) => "huber",
            Self::Custom(_) => "custom",
        }
    }

    pub(super) fn is_cross_entropy(&self) -> bool {
        matches!(self, Self::CrossEntropy)
    }

    /// Whether its scores are logits.
    pub(super) fn has_logits(&self) -> bool {
        matches!(self, Self::CrossEntropy | Self::BinaryCrossEntropy)
    }

    /// Whether its targets are values instead of classes.
    pub(super) fn is_regression(&self) -> bool {
        matches!(
            self,
            Self::MeanSquaredError | Self::MeanAbsoluteError | Self::Huber(_)
        )
    }

    /// Whether a single score decides between class 0 and class 1.
    pub(super) fn is_binary(&self, classes: usize) -> bool {
        matches!(self, Self::BinaryCrossEntropy) && classes == 1
    }
}
