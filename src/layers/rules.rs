use std::borrow::Cow;

use crate::shape::Shape;

use super::window::Window;
use super::{Activation, Init, Misfit};

/// A parameter that a layer needs: its name, shape, and how a new one is made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct ParameterSpec {
    /// The name within the layer, as candle and PyTorch have it.
    pub name: Cow<'static, str>,
    /// The shape.
    pub shape: Vec<usize>,
    /// The distribution of a new one.
    pub init: Init,
    /// Whether it is a running statistic, which no optimizer updates.
    pub is_buffer: bool,
}

impl ParameterSpec {
    /// A trainable parameter that starts at zero.
    pub fn new(name: impl Into<Cow<'static, str>>, shape: impl Into<Vec<usize>>) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
            init: Init::ZEROS,
            is_buffer: false,
        }
    }

    /// The weight's shape is `(outputs, inputs, ..)`.
    pub(super) fn weight_and_bias(shape: &[usize], init: Init, bias: bool) -> Vec<Self> {
        let mut parameters = vec![Self::new("weight", shape).init(init)];
        if bias {
            parameters.push(Self::new("bias", [shape[0]]));
        }
        parameters
    }

    /// Sets the distribution of a new one.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Makes it a running statistic.
    pub fn buffer(mut self) -> Self {
        self.is_buffer = true;
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    Exactly(usize),
    AtLeast(usize),
    Any,
}

impl Arity {
    pub(crate) fn admits(self, count: usize) -> bool {
        match self {
            Self::Exactly(expected) => count == expected,
            Self::AtLeast(least) => count >= least,
            Self::Any => count > 0,
        }
    }

    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Exactly(1) => "one input".to_string(),
            Self::Exactly(expected) => format!("{expected} inputs"),
            Self::AtLeast(least) => format!("at least {least} inputs"),
            Self::Any => "at least one input".to_string(),
        }
    }
}

/// The properties of a layer that a graph needs.
///
/// `inputs` has a length that `arity` admits. `parameters` and `macs` are called
/// only with inputs that `infer` accepted.
pub(crate) trait Rules {
    fn arity(&self) -> Arity {
        Arity::Exactly(1)
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit>;

    fn parameters(&self, _inputs: &[Shape]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Multiply-accumulates for one example, where the size is known.
    fn macs(&self, _inputs: &[Shape], _output: Shape) -> Option<u64> {
        Some(0)
    }

    fn window(&self) -> Window {
        Window::POINT
    }

    /// Whether an output value depends on the whole plane of the input.
    fn sees_everything(&self) -> bool {
        false
    }

    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// Whether training may compute different outputs for the same input. A kind
    /// that is not always random has an arm in
    /// [`Layer::remove_randomness`](super::Layer::remove_randomness).
    fn is_random(&self) -> bool {
        false
    }

    /// Whether the output outside of training is the input, except for the
    /// activation.
    fn passes_input_on(&self) -> bool {
        false
    }

    /// Whether the output has the shape of the one input, and each value there
    /// comes from the value at the same pixel and channel. A softmax, which
    /// looks at the other channels too, counts as well.
    fn is_elementwise(&self) -> bool {
        self.passes_input_on()
    }
}

impl Rules for Activation {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        Ok(inputs[0])
    }

    fn activation(&self) -> Activation {
        *self
    }

    fn passes_input_on(&self) -> bool {
        true
    }
}
