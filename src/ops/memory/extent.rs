use std::fmt;

use candle_core::{Result, Tensor};

use crate::shape::Shape;

/// The sizes of a batch of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Map {
        batch: usize,
        height: usize,
        width: usize,
        channels: usize,
    },
    Rows {
        batch: usize,
        features: usize,
    },
}

impl Extent {
    /// A batch of examples of this shape, if its sizes are known.
    pub(crate) fn new(batch: usize, shape: Shape) -> Option<Self> {
        match shape {
            Shape::Map { channels, .. } => {
                let (height, width) = shape.size()?;
                Some(Self::Map {
                    batch,
                    height,
                    width,
                    channels,
                })
            }
            Shape::Vector { features } => Some(Self::Rows { batch, features }),
        }
    }

    pub(crate) fn of(x: &Tensor) -> Result<Self> {
        match *x.dims() {
            [batch, channels, height, width] => Ok(Self::Map {
                batch,
                height,
                width,
                channels,
            }),
            [batch, features] => Ok(Self::Rows { batch, features }),
            _ => candle_core::bail!("a value has two or four dimensions, not {:?}", x.dims()),
        }
    }

    /// The shape of one example.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Map {
                height,
                width,
                channels,
                ..
            } => Shape::map(channels, height, width),
            Self::Rows { features, .. } => Shape::vector(features),
        }
    }

    /// As candle has it: `(N, C, H, W)` or `(N, F)`.
    pub(crate) fn dims(self) -> Vec<usize> {
        match self {
            Self::Map {
                batch,
                height,
                width,
                channels,
            } => vec![batch, channels, height, width],
            Self::Rows { batch, features } => vec![batch, features],
        }
    }

    pub(crate) fn batch(self) -> usize {
        match self {
            Self::Map { batch, .. } | Self::Rows { batch, .. } => batch,
        }
    }

    /// Channels of a map, features of a row.
    pub(crate) fn channels(self) -> usize {
        self.shape().channels()
    }

    /// Number of values.
    pub(crate) fn len(self) -> usize {
        self.dims().iter().product()
    }
}

/// As candle has it: `(1, 64, 224, 224)`.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.dims().iter().map(usize::to_string).collect();
        write!(f, "({})", sides.join(", "))
    }
}
