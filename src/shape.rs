//! The shape of one example as it passes through a network.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shape of one example between two layers, without the batch.
///
/// A feature map is `(C, H, W)`. Its height and width are unknown until an input
/// size is set, like in Keras' `(None, None, None, C)`. A shape serializes as
/// `[C, H, W]`, with `null` for unknown sides, or as `[F]`.
///
/// ```
/// use vgg_surgery::graph::Shape;
///
/// assert_eq!(Shape::map(64, 112, 112).to_string(), "(64, 112, 112)");
/// assert_eq!(Shape::any_size(3).to_string(), "(3, ?, ?)");
/// assert_eq!(Shape::vector(4096).to_string(), "(4096)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Option<usize>>", into = "Vec<Option<usize>>")]
pub enum Shape {
    /// A feature map: `(C, H, W)`.
    Map {
        /// Number of channels, `C`.
        channels: usize,
        /// Height `H` in pixels, if it is known.
        height: Option<usize>,
        /// Width `W` in pixels, if it is known.
        width: Option<usize>,
    },
    /// A flat vector: `(F)`.
    Vector {
        /// Number of features, `F`.
        features: usize,
    },
}

impl Shape {
    /// A feature map of known size.
    pub const fn map(channels: usize, height: usize, width: usize) -> Self {
        Self::Map {
            channels,
            height: Some(height),
            width: Some(width),
        }
    }

    /// A feature map of any height and width.
    pub const fn any_size(channels: usize) -> Self {
        Self::Map {
            channels,
            height: None,
            width: None,
        }
    }

    /// A vector.
    pub const fn vector(features: usize) -> Self {
        Self::Vector { features }
    }

    /// The channels of a feature map, or the features of a vector.
    pub const fn channels(&self) -> usize {
        match *self {
            Self::Map { channels, .. } => channels,
            Self::Vector { features } => features,
        }
    }

    /// Height and width of a feature map, if they are known.
    pub const fn size(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Map {
                height: Some(height),
                width: Some(width),
                ..
            } => Some((height, width)),
            _ => None,
        }
    }

    /// Number of values in one example, if it is known and fits a `usize`.
    pub fn elements(&self) -> Option<usize> {
        match *self {
            Self::Map { channels, .. } => {
                let (height, width) = self.size()?;
                channels.checked_mul(height)?.checked_mul(width)
            }
            Self::Vector { features } => Some(features),
        }
    }

    /// Whether an input of shape `other` fits this shape. An unknown height or
    /// width accepts any.
    pub fn accepts(&self, other: &Self) -> bool {
        fn takes(declared: Option<usize>, actual: Option<usize>) -> bool {
            declared.is_none() || declared == actual
        }
        match (*self, *other) {
            (
                Self::Map {
                    channels,
                    height,
                    width,
                },
                Self::Map {
                    channels: other_channels,
                    height: other_height,
                    width: other_width,
                },
            ) => {
                channels == other_channels
                    && takes(height, other_height)
                    && takes(width, other_width)
            }
            (Self::Vector { features }, Self::Vector { features: other }) => features == other,
            _ => false,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |value: Option<usize>| value.map_or("?".to_string(), |v| v.to_string());
        match *self {
            Self::Map {
                channels,
                height,
                width,
            } => write!(f, "({channels}, {}, {})", side(height), side(width)),
            Self::Vector { features } => write!(f, "({features})"),
        }
    }
}

impl From<(usize, usize, usize)> for Shape {
    fn from((channels, height, width): (usize, usize, usize)) -> Self {
        Self::map(channels, height, width)
    }
}

impl From<(usize, Option<usize>, Option<usize>)> for Shape {
    fn from((channels, height, width): (usize, Option<usize>, Option<usize>)) -> Self {
        Self::Map {
            channels,
            height,
            width,
        }
    }
}

impl From<usize> for Shape {
    fn from(features: usize) -> Self {
        Self::vector(features)
    }
}

impl From<Shape> for Vec<Option<usize>> {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Map {
                channels,
                height,
                width,
            } => vec![Some(channels), height, width],
            Shape::Vector { features } => vec![Some(features)],
        }
    }
}

impl TryFrom<Vec<Option<usize>>> for Shape {
    type Error = &'static str;

    fn try_from(sides: Vec<Option<usize>>) -> Result<Self, Self::Error> {
        match *sides.as_slice() {
            [Some(channels), height, width] => Ok(Self::Map {
                channels,
                height,
                width,
            }),
            [Some(features)] => Ok(Self::vector(features)),
            _ => Err("a shape is [channels, height, width] or [features]"),
        }
    }
}
