use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::window::{LIMIT, check_sizes};
use super::{Arity, IntoPair, Misfit, Rules};

/// How values between the old values are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpsampleMode {
    /// The value at `floor(i * input / output)`.
    #[default]
    Nearest,
    /// Weighted by distance between pixel centers, as PyTorch with
    /// `align_corners=False`.
    Bilinear,
}

/// How large the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpsampleSize {
    /// The input's height and width times these factors.
    Times(usize, usize),
    /// This height and width.
    Fixed(usize, usize),
    /// The height and width of the second input.
    Like,
}

/// A feature map of another size: `(N, C, H, W)` to `(N, C, H', W')`.
///
/// [`Upsample::like`] takes a second input and becomes as large as that input;
/// in [`Graph::add`](crate::Graph::add), `Upsample::to(node)` supplies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct Upsample {
    /// How large the output is.
    pub size: UpsampleSize,
    /// How values are found.
    pub mode: UpsampleMode,
}

impl Upsample {
    /// Larger by a factor, nearest values.
    pub fn times(factor: impl IntoPair) -> Self {
        let (vertical, horizontal) = factor.pair();
        Self::sized(UpsampleSize::Times(vertical, horizontal))
    }

    /// To this height and width, nearest values.
    pub fn fixed(size: impl IntoPair) -> Self {
        let (height, width) = size.pair();
        Self::sized(UpsampleSize::Fixed(height, width))
    }

    /// To the size of a second input, nearest values.
    pub fn like() -> Self {
        Self::sized(UpsampleSize::Like)
    }

    fn sized(size: UpsampleSize) -> Self {
        Self {
            size,
            mode: UpsampleMode::Nearest,
        }
    }

    /// Weights values by distance instead of taking the nearest.
    pub fn bilinear(mut self) -> Self {
        self.mode = UpsampleMode::Bilinear;
        self
    }
}

impl Rules for Upsample {
    fn arity(&self) -> Arity {
        match self.size {
            UpsampleSize::Like => Arity::Exactly(2),
            _ => Arity::Exactly(1),
        }
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let Shape::Map {
            channels,
            height,
            width,
        } = inputs[0]
        else {
            return Err(Misfit::mismatch("a feature map (C, H, W)", inputs[0]));
        };
        let (height, width) = match self.size {
            UpsampleSize::Times(vertical, horizontal) => {
                check_sizes("factor", (vertical, horizontal))?;
                (
                    height.map(|height| height.saturating_mul(vertical)),
                    width.map(|width| width.saturating_mul(horizontal)),
                )
            }
            UpsampleSize::Fixed(height, width) => {
                check_sizes("size", (height, width))?;
                (Some(height), Some(width))
            }
            UpsampleSize::Like => match inputs[1] {
                Shape::Map { height, width, .. } => (height, width),
                vector => return Err(Misfit::mismatch("a map as second input", vector)),
            },
        };
        if height.is_some_and(|side| side > LIMIT) || width.is_some_and(|side| side > LIMIT) {
            return Err(Misfit::Invalid(format!(
                "its output would exceed {LIMIT} pixels a side"
            )));
        }
        Ok(Shape::Map {
            channels,
            height,
            width,
        })
    }
}
