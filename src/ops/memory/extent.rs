use std::fmt;

use candle_core::{Result, Tensor};

use crate::kernels::{FeatureMaps, Matrices, Size2};
use crate::shape::Shape;

/// The sizes of a batch of feature maps or of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) batch: usize,
    /// Channels of a feature map, or features of a vector.
    pub(crate) channels: usize,
    /// Height and width of a feature map.
    pub(crate) size: Option<Size2>,
}

impl Extent {
    /// A batch of examples of this shape, if its sizes are known.
    pub(crate) fn new(batch: usize, shape: Shape) -> Option<Self> {
        let size = match shape {
            Shape::Map { .. } => Some(shape.size()?.into()),
            Shape::Vector { .. } => None,
        };
        Some(Self {
            batch,
            channels: shape.channels(),
            size,
        })
    }

    pub(crate) fn of(x: &Tensor) -> Result<Self> {
        let (batch, channels, size) = match *x.dims() {
            [batch, channels, height, width] => (batch, channels, Some(Size2 { height, width })),
            [batch, features] => (batch, features, None),
            _ => candle_core::bail!("a value has two or four dimensions, not {:?}", x.dims()),
        };
        Ok(Self {
            batch,
            channels,
            size,
        })
    }

    /// The feature maps as the kernels take them.
    ///
    /// # Errors
    /// If the values are vectors, which `reader` does not take.
    pub(crate) fn feature_maps(self, reader: &str) -> Result<FeatureMaps> {
        let Some(size) = self.size else {
            candle_core::bail!("{reader} takes feature maps, not {self}");
        };
        Ok(FeatureMaps {
            batch: self.batch,
            size,
            channels: self.channels,
        })
    }

    /// The sizes after flattening: one vector for each example.
    pub(crate) fn flattened(self) -> Self {
        Self {
            channels: self.channels * self.pixels(),
            size: None,
            ..self
        }
    }

    /// The shape of one example.
    pub(crate) fn shape(self) -> Shape {
        match self.size {
            Some(Size2 { height, width }) => Shape::map(self.channels, height, width),
            None => Shape::vector(self.channels),
        }
    }

    /// candle's dimensions: `(N, C, H, W)` or `(N, F)`.
    pub(crate) fn dims(self) -> Vec<usize> {
        let sides = self.size.map(|Size2 { height, width }| [height, width]);
        let sides = sides.into_iter().flatten();
        [self.batch, self.channels]
            .into_iter()
            .chain(sides)
            .collect()
    }

    /// Pixels of a feature map; 1 for a vector.
    pub(crate) fn pixels(self) -> usize {
        self.size.map_or(1, Size2::pixels)
    }

    /// The images as matrices (C, H W), channels first.
    pub(crate) fn planes(self) -> Matrices {
        Matrices {
            count: self.batch,
            rows: self.channels,
            columns: self.pixels(),
        }
    }

    pub(crate) fn len(self) -> usize {
        self.batch * self.channels * self.pixels()
    }
}

/// candle's dimensions: `(1, 64, 224, 224)`.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.dims().iter().map(usize::to_string).collect();
        write!(f, "({})", sides.join(", "))
    }
}
