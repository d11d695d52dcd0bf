use crate::error::Error;
use crate::shape::Shape;

/// Why a layer can't take its inputs. It does not know the layer's name.
#[derive(Debug, PartialEq)]
pub(crate) enum Misfit {
    Invalid(String),
    Mismatch {
        expected: String,
        actual: Shape,
    },
    UnknownSize(Shape),
    TooSmall {
        actual: Shape,
        minimum: (usize, usize),
    },
}

impl Misfit {
    pub(crate) fn mismatch(expected: impl Into<String>, actual: Shape) -> Self {
        Self::Mismatch {
            expected: expected.into(),
            actual,
        }
    }

    pub(crate) fn at(self, layer: &str) -> Error {
        let layer = layer.to_string();
        match self {
            Self::Invalid(reason) => Error::InvalidLayer { layer, reason },
            Self::Mismatch { expected, actual } => Error::ShapeMismatch {
                layer,
                expected,
                actual,
            },
            Self::UnknownSize(actual) => Error::UnknownSize { layer, actual },
            Self::TooSmall { actual, minimum } => Error::InputTooSmall {
                layer,
                actual,
                minimum_height: minimum.0,
                minimum_width: minimum.1,
            },
        }
    }
}
