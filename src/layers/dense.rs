use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::activation::activated;
use super::window::check_sizes;
use super::{Activation, Init, Misfit, ParameterSpec, Rules};

/// A fully connected layer with an optional bias and activation.
///
/// Takes `(N, F)`, returns `(N, units)`. Parameters are `weight` `(units, F)`
/// and `bias` `(units)`.
///
/// ```
/// use vgg_surgery::{Activation, Dense};
///
/// assert_eq!(Dense::new(10).softmax().activation, Activation::Softmax);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct Dense {
    /// Number of output features.
    pub units: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What is applied to the output.
    pub activation: Activation,
    /// The distribution of a new kernel.
    pub kernel_init: Init,
}

impl Dense {
    /// A dense layer with a bias, no activation, and a Glorot-uniform kernel.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            bias: true,
            activation: Activation::Linear,
            kernel_init: Init::GlorotUniform,
        }
    }

    /// Leaves the bias out.
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Sets the distribution of a new kernel.
    pub fn kernel_init(mut self, init: Init) -> Self {
        self.kernel_init = init;
        self
    }
}

activated!(Dense);

impl Rules for Dense {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        check_sizes("units", self.units)?;
        match inputs[0] {
            Shape::Vector { .. } => Ok(Shape::vector(self.units)),
            map => Err(Misfit::mismatch(
                "a vector (F); put a Flatten or a global pool before it",
                map,
            )),
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let weight = [self.units, inputs[0].channels()];
        ParameterSpec::weight_and_bias(&weight, self.kernel_init, self.bias)
    }

    fn macs(&self, inputs: &[Shape], _output: Shape) -> Option<u64> {
        Some((inputs[0].channels() as u64).saturating_mul(self.units as u64))
    }

    fn sees_everything(&self) -> bool {
        true
    }

    fn activation(&self) -> Activation {
        self.activation
    }
}
