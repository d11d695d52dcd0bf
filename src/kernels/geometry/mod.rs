//! Shapes of convolutions and pools, checked once.

mod conv2d;
mod pool2d;

use std::fmt;

pub use conv2d::{Conv2dConfig, Conv2dGeometry};
pub use pool2d::{Pool2dConfig, Pool2dGeometry};

/// Zeros around a map, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns on the left.
    pub left: usize,
    /// Columns on the right.
    pub right: usize,
}

impl Padding {
    /// The same on all four sides.
    #[cfg(test)]
    pub const fn all(pixels: usize) -> Self {
        Self {
            top: pixels,
            bottom: pixels,
            left: pixels,
            right: pixels,
        }
    }
}

/// Why a geometry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// A size that must be at least 1 is 0; `size` names it.
    Zero {
        /// The field's name.
        size: &'static str,
    },
    /// The channels don't divide into the groups.
    Groups {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Groups asked for.
        groups: usize,
    },
    /// The dilated window is larger than the padded map.
    Window {
        /// Pixels the window spans.
        window: usize,
        /// Pixels the padded map has along the same axis.
        padded: usize,
    },
    /// Padding of a pool is larger than half its window.
    Padding {
        /// The padding asked for.
        padding: usize,
        /// The window along the same axis.
        window: usize,
    },
    /// A number of elements exceeds the address space.
    Overflow,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Self::Zero { size } => write!(f, "{size} is 0, it must be at least 1"),
            Self::Groups {
                in_channels,
                out_channels,
                groups,
            } => write!(
                f,
                "{in_channels} channels in and {out_channels} out don't divide into {groups} groups"
            ),
            Self::Window { window, padded } => write!(
                f,
                "a window of {window} pixels does not fit a padded map of {padded}: enlarge the input or the padding"
            ),
            Self::Padding { padding, window } => {
                write!(
                    f,
                    "padding {padding} exceeds half of a pooling window of {window}"
                )
            }
            Self::Overflow => write!(f, "the sizes exceed what can be computed with"),
        }
    }
}

impl std::error::Error for GeometryError {}

fn non_zero(sizes: &[(usize, &'static str)]) -> Result<(), GeometryError> {
    match sizes.iter().find(|(size, _)| *size == 0) {
        Some(&(_, size)) => Err(GeometryError::Zero { size }),
        None => Ok(()),
    }
}

fn product(sizes: &[usize]) -> Result<usize, GeometryError> {
    let product = sizes
        .iter()
        .try_fold(4usize, |all, &size| all.checked_mul(size.max(1)));
    let bytes = product.filter(|&bytes| bytes <= isize::MAX as usize / 64);
    bytes.map(|bytes| bytes / 4).ok_or(GeometryError::Overflow)
}

/// Outputs along an axis of `size` pixels under a window of `taps`.
fn outputs(
    (size, before, after): (usize, usize, usize),
    (taps, stride, dilation): (usize, usize, usize),
) -> Result<usize, GeometryError> {
    let add = |a: usize, b: usize| a.checked_add(b).ok_or(GeometryError::Overflow);
    let window = add(
        (taps - 1)
            .checked_mul(dilation)
            .ok_or(GeometryError::Overflow)?,
        1,
    )?;
    let padded = add(add(size, before)?, after)?;
    match padded.checked_sub(window) {
        Some(room) => Ok(room / stride + 1),
        None => Err(GeometryError::Window { window, padded }),
    }
}
