use crate::error::Result;
use crate::optim::{Decay, non_negative};

/// Special settings for some layers.
///
/// ```
/// use vgg_surgery::optim::Decay;
/// use vgg_surgery::train::ParameterGroup;
///
/// let slow = ParameterGroup::new().scale(0.1).decay(Decay::None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct ParameterGroup {
    learning_rate: Option<f64>,
    scale: Option<f64>,
    decay: Option<Decay>,
}

impl ParameterGroup {
    /// A group that changes no setting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the learning rate. The schedule changes it like the others.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = Some(learning_rate);
        self
    }

    /// Sets a factor on the learning rate.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets how weights are pulled towards zero.
    pub fn decay(mut self, decay: Decay) -> Self {
        self.decay = Some(decay);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for rate in [self.learning_rate, self.scale].into_iter().flatten() {
            non_negative("a group's learning rate", rate)?;
        }
        self.decay.map_or(Ok(()), Decay::check)
    }

    pub(in crate::train) fn overridden_by(&self, later: &Self) -> Self {
        Self {
            learning_rate: later.learning_rate.or(self.learning_rate),
            scale: later.scale.or(self.scale),
            decay: later.decay.or(self.decay),
        }
    }

    /// The learning rate, if that of the other layers is `base`.
    pub(in crate::train) fn rate(&self, base: f64) -> f64 {
        self.learning_rate.unwrap_or(base) * self.scale.unwrap_or(1.0)
    }

    pub(in crate::train) fn own_decay(&self) -> Option<Decay> {
        self.decay
    }
}
