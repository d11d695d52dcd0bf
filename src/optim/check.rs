//! Checks of settings.

use crate::error::{Result, require};

use super::settings::{Decay, Optimizer};

impl Optimizer {
    pub(crate) fn check(&self) -> Result<()> {
        non_negative("a learning rate", self.learning_rate())?;
        self.decay().check()?;
        match self {
            Self::Sgd(sgd) => {
                fraction("a momentum", sgd.momentum)?;
                require(
                    !sgd.nesterov || sgd.momentum != 0.0,
                    "nesterov()",
                    "needs a momentum above 0",
                )
            }
            Self::RmsProp(rms_prop) => {
                fraction("a momentum", rms_prop.momentum)?;
                fraction("a rho", rms_prop.rho)?;
                above_zero_in_f32("an epsilon", rms_prop.epsilon)
            }
            Self::Adam(adam) => {
                for beta in [adam.beta1, adam.beta2] {
                    fraction("a beta", beta)?;
                    require(beta < 1.0, "a beta of 1", "must be below 1")?;
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
            Self::Coupled(decay) | Self::Decoupled(decay) => non_negative("a decay", decay),
        }
    }
}

pub(crate) fn non_negative(what: &str, value: f64) -> Result<()> {
    require(
        value.is_finite() && value >= 0.0,
        format_args!("{what} of {value}"),
        "must be finite and at least 0",
    )
}

/// Refuses what is not finite or below f32's smallest normal number: steps are
/// computed in f32, where a gradient of 0 over a divisor of 0 is NaN.
fn above_zero_in_f32(what: &str, value: f64) -> Result<()> {
    require(
        value.is_finite() && value >= f64::from(f32::MIN_POSITIVE),
        format_args!("{what} of {value}"),
        "must be finite and at least f32::MIN_POSITIVE",
    )
}

fn fraction(what: &str, value: f64) -> Result<()> {
    require(
        (0.0..=1.0).contains(&value),
        format_args!("{what} of {value}"),
        "must be from 0 to 1",
    )
}
