use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::window::LIMIT;
use super::{Arity, Misfit, Rules};

/// The sum of two or more inputs of one shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add;

impl Rules for Add {
    fn arity(&self) -> Arity {
        Arity::AtLeast(2)
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        match inputs.iter().find(|&&input| input != inputs[0]) {
            None => Ok(inputs[0]),
            Some(&other) => Err(Misfit::mismatch(
                format!("inputs of one shape, the first being {}", inputs[0]),
                other,
            )),
        }
    }
}

/// Two or more inputs joined: the channels of feature maps of one size, or the
/// features of vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Concat {}

impl Concat {
    /// Joins along the channels.
    pub fn channels() -> Self {
        Self {}
    }
}

impl Rules for Concat {
    fn arity(&self) -> Arity {
        Arity::AtLeast(2)
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let with_channels = |shape: &Shape, total: usize| match *shape {
            Shape::Map { height, width, .. } => Shape::Map {
                channels: total,
                height,
                width,
            },
            Shape::Vector { .. } => Shape::vector(total),
        };
        let mut total = 0usize;
        for input in inputs {
            if with_channels(input, 0) != with_channels(&inputs[0], 0) {
                return Err(Misfit::mismatch(
                    format!("inputs that differ in channels only from {}", inputs[0]),
                    *input,
                ));
            }
            total = total.saturating_add(input.channels());
        }
        if total > LIMIT {
            return Err(Misfit::Invalid(format!(
                "{total} channels are too many; {LIMIT} is the limit"
            )));
        }
        Ok(with_channels(&inputs[0], total))
    }
}
