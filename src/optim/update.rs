use candle_core::{Tensor, Var};

use crate::error::{Result, require};

use super::norm::square_sum;
use super::settings::Decay;

/// The update of one parameter in a step.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// The name under which its state is kept.
    pub name: &'a str,
    /// The parameter.
    pub variable: &'a Var,
    /// The loss's gradient, of the parameter's shape.
    pub gradient: &'a Tensor,
    /// The learning rate of this step, finite and not below 0. It replaces the one
    /// in the optimizer's settings.
    pub learning_rate: f64,
    /// How the parameter is pulled towards zero; the optimizer's decay by default.
    pub decay: Option<Decay>,
}

/// A bound on gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Clip {
    /// No bound.
    #[default]
    None,
    /// All gradients of a step are scaled by one factor. Their common Euclidean
    /// norm is then at most this (`torch.nn.utils.clip_grad_norm_`,
    /// Keras' `global_clipnorm`).
    Norm(f64),
    /// Each value is held between minus and plus this (Keras' `clipvalue`).
    Value(f64),
}

impl Clip {
    pub(crate) fn check(self) -> Result<()> {
        let (Self::Norm(bound) | Self::Value(bound)) = self else {
            return Ok(());
        };
        require(
            bound > 0.0,
            format_args!("a bound of {bound} on gradients"),
            "must be above 0",
        )
    }

    /// The factor on all gradients of a step.
    pub(super) fn scale(self, updates: &[Update<'_>]) -> Result<f64> {
        let Self::Norm(bound) = self else {
            return Ok(1.0);
        };
        let squares = updates.iter().map(|update| square_sum(update.gradient));
        let norm = squares.sum::<candle_core::Result<f64>>()?.sqrt();
        // PyTorch's divisor.
        Ok((bound / (norm + 1e-6)).min(1.0))
    }

    pub(super) fn limit(self) -> f64 {
        match self {
            Self::Value(limit) => limit,
            Self::None | Self::Norm(_) => f64::INFINITY,
        }
    }
}
