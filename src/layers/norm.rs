use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::activation::activated;
use super::{Activation, Init, Misfit, ParameterSpec, Rules};

/// Batch normalization over the channels of a map or the features of a vector
/// (Ioffe and Szegedy 2015), with an optional activation.
///
/// Keeps its input's shape. Parameters are `weight`, `bias`, `running_mean`
/// and `running_var`, each `(C)`; the last two are running statistics. Where
/// the layer is frozen they are used in training too, and left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct BatchNorm2d {
    /// Added to the variance.
    pub eps: f64,
    /// The weight of a batch in the new running statistics, as PyTorch counts
    /// it (Keras' momentum is one minus this).
    pub momentum: f64,
    /// What is applied to the output.
    pub activation: Activation,
}

impl BatchNorm2d {
    /// PyTorch's defaults: `eps` 1e-5, `momentum` 0.1.
    pub fn new() -> Self {
        Self {
            eps: 1e-5,
            momentum: 0.1,
            activation: Activation::Linear,
        }
    }

    /// Sets what is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets the weight of a batch in the new running statistics.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }
}

impl Default for BatchNorm2d {
    fn default() -> Self {
        Self::new()
    }
}

activated!(BatchNorm2d);

impl Rules for BatchNorm2d {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        if !(self.eps >= 0.0 && self.eps.is_finite()) {
            return Err(Misfit::Invalid(format!(
                "eps {} must not be negative",
                self.eps
            )));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Misfit::Invalid(format!(
                "momentum {} must be from 0 to 1",
                self.momentum
            )));
        }
        Ok(inputs[0])
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let shape = [inputs[0].channels()];
        vec![
            ParameterSpec::new("weight", shape).init(Init::ONES),
            ParameterSpec::new("bias", shape),
            ParameterSpec::new("running_mean", shape).buffer(),
            ParameterSpec::new("running_var", shape)
                .init(Init::ONES)
                .buffer(),
        ]
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn is_elementwise(&self) -> bool {
        true
    }
}
