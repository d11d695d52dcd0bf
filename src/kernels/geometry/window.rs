//! A window that slides over a feature map.

use std::ops::Range;

use super::{GeometryError, Padding, Size2};

/// A window over a padded feature map.
#[derive(Clone, Copy)]
pub struct Window {
    /// Height and width of the feature map.
    pub size: Size2,
    pub kernel_size: Size2,
    pub stride: Size2,
    pub dilation: Size2,
    pub padding: Padding,
}

impl Window {
    pub fn down(&self) -> Axis {
        Axis {
            size: self.size.height,
            taps: self.kernel_size.height,
            stride: self.stride.height,
            dilation: self.dilation.height,
            before: self.padding.top,
            after: self.padding.bottom,
        }
    }

    pub fn across(&self) -> Axis {
        Axis {
            size: self.size.width,
            taps: self.kernel_size.width,
            stride: self.stride.width,
            dilation: self.dilation.width,
            before: self.padding.left,
            after: self.padding.right,
        }
    }

    /// The number of window positions, down and across.
    pub fn out_size(&self) -> Result<Size2, GeometryError> {
        Ok(Size2 {
            height: self.down().outputs()?,
            width: self.across().outputs()?,
        })
    }
}

/// A window along one axis.
#[derive(Clone, Copy)]
pub struct Axis {
    size: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    /// Padding at the start and at the end.
    before: usize,
    after: usize,
}

impl Axis {
    fn outputs(&self) -> Result<usize, GeometryError> {
        let reach = (self.taps - 1).checked_mul(self.dilation);
        let window = reach.and_then(|reach| reach.checked_add(1));
        let padded = self
            .size
            .checked_add(self.before)
            .and_then(|size| size.checked_add(self.after));
        let (Some(window), Some(padded)) = (window, padded) else {
            return Err(GeometryError::Overflow);
        };
        match padded.checked_sub(window) {
            Some(room) => Ok(room / self.stride + 1),
            None => Err(GeometryError::Window { window, padded }),
        }
    }

    /// Refuses padding above half the window.
    pub fn check_padding(&self) -> Result<(), GeometryError> {
        let (padding, window) = (self.before.max(self.after), self.taps);
        if padding > window / 2 {
            return Err(GeometryError::Padding { padding, window });
        }
        Ok(())
    }

    /// The pixels under an undilated window at position `index`, clipped to the
    /// feature map.
    pub fn covered(&self, index: usize) -> Range<usize> {
        let start = index * self.stride;
        let end = (start + self.taps)
            .saturating_sub(self.before)
            .min(self.size);
        start.saturating_sub(self.before).min(end)..end
    }
}
