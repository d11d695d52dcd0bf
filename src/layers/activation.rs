use std::fmt;

use serde::{Deserialize, Serialize};

/// A function applied to every value, or over the channels.
///
/// It stands inside a convolution, a dense layer or a batch norm, as in Keras,
/// or as a layer of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// The value itself.
    #[default]
    Linear,
    /// `max(x, 0)`; its gradient at 0 is 0, as in PyTorch.
    Relu,
    /// `exp(x) / sum exp(x)` over the channels of a map, the features of a
    /// vector.
    Softmax,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x * P(X <= x)` with the exact normal distribution (Hendrycks and
    /// Gimpel 2016), as PyTorch's default.
    Gelu,
}

impl Activation {
    /// The name as Keras has it: `"relu"`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! activated {
    ($kind:ty) => {
        impl $kind {
            /// Sets what is applied to the output.
            pub fn activation(mut self, activation: Activation) -> Self {
                self.activation = activation;
                self
            }

            /// Applies ReLU to the output.
            pub fn relu(self) -> Self {
                self.activation(Activation::Relu)
            }

            /// Applies softmax over the channels of the output.
            pub fn softmax(self) -> Self {
                self.activation(Activation::Softmax)
            }

            /// Applies the logistic function to the output.
            pub fn sigmoid(self) -> Self {
                self.activation(Activation::Sigmoid)
            }

            /// Applies the hyperbolic tangent to the output.
            pub fn tanh(self) -> Self {
                self.activation(Activation::Tanh)
            }

            /// Applies GELU to the output.
            pub fn gelu(self) -> Self {
                self.activation(Activation::Gelu)
            }
        }
    };
}

pub(super) use activated;
