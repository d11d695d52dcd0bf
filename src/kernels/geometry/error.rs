//! Why sizes are refused, and the checks that convolutions and pools share.

use thiserror::Error;

/// Why a geometry is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GeometryError {
    /// A size that must be at least 1 is 0.
    #[error("{size} is 0, it must be at least 1")]
    Zero {
        /// The field's name.
        size: &'static str,
    },
    /// `groups` does not divide the channels.
    #[error("{in_channels} channels in and {out_channels} out don't divide into {groups} groups")]
    Groups {
        in_channels: usize,
        out_channels: usize,
        groups: usize,
    },
    /// The dilated window is larger than the padded feature map.
    #[error(
        "a window of {window} pixels does not fit a padded feature map of {padded}: enlarge the input or the padding"
    )]
    Window {
        /// Pixels the window spans.
        window: usize,
        /// Pixels the padded feature map has along the same axis.
        padded: usize,
    },
    /// Padding of a pool is larger than half its window.
    #[error("padding {padding} exceeds half of a pooling window of {window}")]
    Padding {
        padding: usize,
        /// The window along the same axis.
        window: usize,
    },
    /// The number of values exceeds the address space.
    #[error("the sizes exceed what can be computed with")]
    Overflow,
}

/// Refuses the first size that is 0, by its name.
pub fn non_zero(sizes: &[(usize, &'static str)]) -> Result<(), GeometryError> {
    match sizes.iter().find(|(size, _)| *size == 0) {
        Some(&(_, size)) => Err(GeometryError::Zero { size }),
        None => Ok(()),
    }
}

/// Refuses sizes whose product is too large for a number of values.
pub fn countable(sizes: &[usize]) -> Result<(), GeometryError> {
    let bytes = sizes
        .iter()
        .try_fold(size_of::<f32>(), |all, &size| all.checked_mul(size.max(1)));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize / 64 => Ok(()),
        _ => Err(GeometryError::Overflow),
    }
}
