//! Settings that no step can be taken with.

use crate::error::{Result, TrainingError};

use super::settings::{Decay, Optimizer};
use super::state::Clip;

impl Optimizer {
    pub(crate) fn check(&self) -> Result<()> {
        positive_or_zero("a learning rate", self.learning_rate())?;
        self.decay().check()?;
        match self {
            Self::Sgd(sgd) => {
                share("a momentum", sgd.momentum)?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return refuse("nesterov()".to_string(), "takes a momentum above 0");
                }
                Ok(())
            }
            Self::RmsProp(rms_prop) => {
                share("a momentum", rms_prop.momentum)?;
                share("a rho", rms_prop.rho)?;
                above_zero_in_f32("an epsilon", rms_prop.epsilon)
            }
            Self::Adam(adam) => {
                for beta in [adam.beta1, adam.beta2] {
                    share("a beta", beta)?;
                    if beta == 1.0 {
                        return refuse("a beta of 1".to_string(), "must be below 1");
                    }
                }
                above_zero_in_f32("an epsilon", adam.epsilon)
            }
        }
    }
}

impl Decay {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Coupled(decay) | Self::Decoupled(decay) => positive_or_zero("a decay", decay),
        }
    }
}

impl Clip {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Norm(bound) | Self::Value(bound) if bound.is_nan() || bound <= 0.0 => refuse(
                format!("a bound of {bound} on gradients"),
                "must be above 0",
            ),
            _ => Ok(()),
        }
    }
}

fn refuse(setting: String, reason: &'static str) -> Result<()> {
    Err(TrainingError::setting(setting, reason))
}

/// Refuses what is below zero or not finite.
pub(crate) fn positive_or_zero(what: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    refuse(
        format!("{what} of {value}"),
        "must be finite and at least 0",
    )
}

/// A gradient of 0 over a divisor of 0 is NaN, and steps are taken in f32.
fn above_zero_in_f32(what: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= f64::from(f32::MIN_POSITIVE) {
        return Ok(());
    }
    refuse(
        format!("{what} of {value}"),
        "must be finite and at least f32::MIN_POSITIVE",
    )
}

fn share(what: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    refuse(format!("{what} of {value}"), "must be from 0 to 1")
}
