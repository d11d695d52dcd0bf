use std::fmt;

use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::Misfit;

/// The largest number of channels, kernel, stride, dilation, padding or side of a
/// feature map in a graph. Larger sizes could overflow.
pub(crate) const LIMIT: usize = 1 << 24;

/// Whether every size that is known is from 1 to [`LIMIT`].
pub(crate) fn within_limit(shape: Shape) -> bool {
    let legal = |size: usize| (1..=LIMIT).contains(&size);
    match shape {
        Shape::Map {
            channels,
            height,
            width,
        } => legal(channels) && height.is_none_or(legal) && width.is_none_or(legal),
        Shape::Vector { features } => legal(features),
    }
}

pub(super) fn check_sizes(
    what: &str,
    sizes: impl IntoPair + Copy + fmt::Debug,
) -> Result<(), Misfit> {
    let (vertical, horizontal) = sizes.pair();
    let is_legal = |size: &usize| (1..=LIMIT).contains(size);
    match [vertical, horizontal].iter().all(is_legal) {
        true => Ok(()),
        false => Err(Misfit::Invalid(format!(
            "{what} {sizes:?} must be from 1 to {LIMIT}"
        ))),
    }
}

pub(super) fn check_map(input: Shape) -> Result<(), Misfit> {
    match input {
        Shape::Map { .. } => Ok(()),
        Shape::Vector { .. } => Err(Misfit::mismatch("a feature map (C, H, W)", input)),
    }
}

/// One number for both sides, or `(vertical, horizontal)`.
pub trait IntoPair {
    /// The pair `(vertical, horizontal)`.
    fn pair(self) -> (usize, usize);
}

impl IntoPair for usize {
    fn pair(self) -> (usize, usize) {
        (self, self)
    }
}

impl IntoPair for (usize, usize) {
    fn pair(self) -> (usize, usize) {
        self
    }
}

/// Rows and columns of zeros around a feature map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Margins {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Margins {
    /// The same on all four sides.
    pub const fn all(margin: usize) -> Self {
        Self {
            top: margin,
            bottom: margin,
            left: margin,
            right: margin,
        }
    }
}

/// How far a window reaches over the border of a feature map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Padding {
    /// Not at all.
    #[default]
    Valid,
    /// Such that the output has `ceil(input / stride)` values a side. If the
    /// padding is odd, the bottom and right get one more, as in TensorFlow.
    Same,
    /// By these margins.
    Explicit(Margins),
}

impl From<usize> for Padding {
    fn from(margin: usize) -> Self {
        Self::Explicit(Margins::all(margin))
    }
}

impl From<(usize, usize)> for Padding {
    fn from((vertical, horizontal): (usize, usize)) -> Self {
        Self::Explicit(Margins {
            top: vertical,
            bottom: vertical,
            left: horizontal,
            right: horizontal,
        })
    }
}

impl From<Margins> for Padding {
    fn from(margins: Margins) -> Self {
        Self::Explicit(margins)
    }
}

/// A window that slides over a feature map: the geometry that convolutions and
/// pools share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel_size: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) dilation: (usize, usize),
    pub(crate) padding: Padding,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    reach: usize,
    stride: usize,
    padding: Option<(usize, usize)>,
}

impl Window {
    /// A window that neither moves nor reaches beyond one pixel.
    pub(crate) const POINT: Self = Self {
        kernel_size: (1, 1),
        stride: (1, 1),
        dilation: (1, 1),
        padding: Padding::Valid,
    };

    pub(crate) fn validate(&self) -> Result<(), Misfit> {
        check_sizes("kernel_size", self.kernel_size)?;
        check_sizes("stride", self.stride)?;
        check_sizes("dilation", self.dilation)?;
        let (kernel, dilation) = (self.kernel_size, self.dilation);
        for (kernel, dilation) in [(kernel.0, dilation.0), (kernel.1, dilation.1)] {
            let reach = (kernel - 1).checked_mul(dilation);
            if reach.is_none_or(|reach| reach >= LIMIT) {
                return Err(Misfit::Invalid(format!(
                    "kernel_size {:?} with dilation {:?} reaches too far",
                    self.kernel_size, self.dilation
                )));
            }
        }
        if let Padding::Explicit(margins) = self.padding {
            validate_margins(margins)?;
        }
        Ok(())
    }

    /// Pixels that the window covers on each side.
    pub(crate) fn reach(&self) -> (usize, usize) {
        (
            (self.kernel_size.0 - 1) * self.dilation.0 + 1,
            (self.kernel_size.1 - 1) * self.dilation.1 + 1,
        )
    }

    fn axes(&self) -> (Axis, Axis) {
        let (vertical, horizontal) = match self.padding {
            Padding::Valid => (Some((0, 0)), Some((0, 0))),
            Padding::Same => (None, None),
            Padding::Explicit(m) => (Some((m.top, m.bottom)), Some((m.left, m.right))),
        };
        let (height, width) = self.reach();
        let axis = |reach, stride, padding| Axis {
            reach,
            stride,
            padding,
        };
        (
            axis(height, self.stride.0, vertical),
            axis(width, self.stride.1, horizontal),
        )
    }

    pub(crate) fn margins(&self, height: usize, width: usize) -> Margins {
        let (vertical, horizontal) = self.axes();
        let (top, bottom) = vertical.margins(height);
        let (left, right) = horizontal.margins(width);
        Margins {
            top,
            bottom,
            left,
            right,
        }
    }

    pub(crate) fn slide(&self, input: Shape, channels: usize) -> Result<Shape, Misfit> {
        self.validate()?;
        let Shape::Map { height, width, .. } = input else {
            return Err(Misfit::mismatch("a feature map (C, H, W)", input));
        };
        let (vertical, horizontal) = self.axes();
        let too_small = || Misfit::TooSmall {
            actual: input,
            minimum: (vertical.minimum(), horizontal.minimum()),
        };
        let slide = |axis: &Axis, side: Option<usize>| match side {
            None => Ok(None),
            Some(side) => axis.slide(side).map(Some).ok_or_else(too_small),
        };
        Ok(Shape::Map {
            channels,
            height: slide(&vertical, height)?,
            width: slide(&horizontal, width)?,
        })
    }
}

impl Axis {
    fn margins(&self, side: usize) -> (usize, usize) {
        self.padding.unwrap_or_else(|| {
            let last_start = (side.div_ceil(self.stride).saturating_sub(1)) * self.stride;
            let total = (last_start + self.reach).saturating_sub(side);
            (total / 2, total - total / 2)
        })
    }

    fn minimum(&self) -> usize {
        match self.padding {
            None => 1,
            Some((before, after)) => self.reach.saturating_sub(before + after).max(1),
        }
    }

    fn slide(&self, side: usize) -> Option<usize> {
        if side == 0 {
            return None;
        }
        let (before, after) = self.margins(side);
        let free = (side + before + after).checked_sub(self.reach)?;
        Some(free / self.stride + 1)
    }
}

pub(crate) fn validate_margins(margins: Margins) -> Result<(), Misfit> {
    let Margins { top, bottom, .. } = margins;
    let sides = [top, bottom, margins.left, margins.right];
    if sides.iter().any(|&side| side > LIMIT) {
        return Err(Misfit::Invalid(format!(
            "padding {margins:?} must not exceed {LIMIT}"
        )));
    }
    Ok(())
}
