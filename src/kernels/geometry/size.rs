//! Sizes of feature maps and of the padding around them.

/// A height and a width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size2 {
    pub height: usize,
    pub width: usize,
}

impl Size2 {
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// The size after a 2x2 pool of stride 2.
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
    pub size: Size2,
    pub channels: usize,
}

/// Zeros around a feature map, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}
