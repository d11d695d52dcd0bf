//! Optimizer settings that no step can be taken with.

use crate::error::Result;

use super::require::{above_zero_in_f32, fraction, non_negative, require};
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
                    "takes a momentum above 0",
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
