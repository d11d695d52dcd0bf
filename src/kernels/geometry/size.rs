//! Sizes of feature maps and of the padding around them.

/// A number of pixels down and one across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size2 {
    /// Down.
    pub height: usize,
    /// Across.
    pub width: usize,
}

impl Size2 {
    /// The same along both axes.
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    /// Pixels in a rectangle of this size.
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// After a 2x2 pool of stride 2.
    pub const fn halved(self) -> Self {
        Self {
            height: self.height / 2,
            width: self.width / 2,
        }
    }
}

/// From `(height, width)`, as layers write it.
impl From<(usize, usize)> for Size2 {
    fn from((height, width): (usize, usize)) -> Self {
        Self { height, width }
    }
}

/// The sizes of a batch of feature maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeatureMaps {
    /// Images; may be 0.
    pub batch: usize,
    /// Height and width in pixels.
    pub size: Size2,
    /// Channels.
    pub channels: usize,
}

/// Zeros around a feature map, in pixels.
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
