//! Why sizes are refused, and the checks that convolutions and pools share.

use std::fmt;

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
    /// The dilated window is larger than the padded feature map.
    Window {
        /// Pixels the window spans.
        window: usize,
        /// Pixels the padded feature map has along the same axis.
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

/// Refuses the first size that is 0, by its name.
pub(super) fn non_zero(sizes: &[(usize, &'static str)]) -> Result<(), GeometryError> {
    match sizes.iter().find(|(size, _)| *size == 0) {
        Some(&(_, size)) => Err(GeometryError::Zero { size }),
        None => Ok(()),
    }
}

/// Refuses sizes whose product is no number of elements.
pub(super) fn countable(sizes: &[usize]) -> Result<(), GeometryError> {
    let bytes = sizes
        .iter()
        .try_fold(size_of::<f32>(), |all, &size| all.checked_mul(size.max(1)));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize / 64 => Ok(()),
        _ => Err(GeometryError::Overflow),
    }
}
