use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::window::{LIMIT, validate_margins, within_limit};
use super::{Arity, Margins, Misfit, Rules};

/// Where images enter a graph; it declares their shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Input {
    /// The shape of one example.
    pub shape: Shape,
}

impl Input {
    /// An input of this shape.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self {
            shape: shape.into(),
        }
    }
}

impl Rules for Input {
    fn arity(&self) -> Arity {
        Arity::Exactly(0)
    }

    fn infer(&self, _inputs: &[Shape]) -> Result<Shape, Misfit> {
        if within_limit(self.shape) {
            Ok(self.shape)
        } else {
            Err(Misfit::Invalid(format!(
                "an input of {} can't be: every size must be from 1 to {LIMIT}",
                self.shape
            )))
        }
    }
}

/// The order of a feature map's values in a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FlattenOrder {
    /// Channels outermost, as PyTorch flattens.
    #[default]
    Chw,
    /// Channels innermost, as Keras flattens.
    Hwc,
}

/// A feature map as a vector: `(N, C, H, W)` to `(N, C * H * W)`. A vector
/// stays unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flatten {
    /// The order of the values.
    pub order: FlattenOrder,
}

impl Flatten {
    /// Flattens with the channels outermost, as PyTorch does.
    pub fn new() -> Self {
        Self::default()
    }

    /// Flattens with the channels innermost, as Keras does.
    pub fn hwc() -> Self {
        Self {
            order: FlattenOrder::Hwc,
        }
    }
}

impl Rules for Flatten {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let input = inputs[0];
        if matches!(input, Shape::Map { .. }) && input.size().is_none() {
            return Err(Misfit::UnknownSize(input));
        }
        match input.elements() {
            Some(features) if features <= LIMIT => Ok(Shape::vector(features)),
            _ => Err(Misfit::mismatch(
                format!("a map of at most {LIMIT} values"),
                input,
            )),
        }
    }

    fn sees_everything(&self) -> bool {
        true
    }
}

/// Sets a random fraction of the values to zero in training, and scales the rest
/// up by as much; no effect otherwise (Srivastava et al. 2014).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dropout {
    /// The fraction of values dropped, at least 0 and below 1.
    pub rate: f64,
}

impl Dropout {
    /// Drops this fraction of the values.
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }
}

impl Rules for Dropout {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        if (0.0..1.0).contains(&self.rate) {
            Ok(inputs[0])
        } else {
            Err(Misfit::Invalid(format!(
                "rate {} must be at least 0 and below 1",
                self.rate
            )))
        }
    }

    fn is_random(&self) -> bool {
        self.rate > 0.0
    }

    fn passes_input_on(&self) -> bool {
        true
    }
}

/// Puts rows and columns of zeros around a feature map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ZeroPad2d {
    /// The number of rows or columns on each side.
    pub margins: Margins,
}

impl ZeroPad2d {
    /// Pads all four sides equally.
    pub fn new(margin: usize) -> Self {
        Self::with_margins(Margins::all(margin))
    }

    /// Pads each side by its margin.
    pub fn with_margins(margins: Margins) -> Self {
        Self { margins }
    }
}

impl Rules for ZeroPad2d {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        validate_margins(self.margins)?;
        let margins = self.margins;
        match inputs[0] {
            Shape::Map {
                channels,
                height,
                width,
            } => Ok(Shape::Map {
                channels,
                height: height.map(|height| height + margins.top + margins.bottom),
                width: width.map(|width| width + margins.left + margins.right),
            }),
            vector => Err(Misfit::mismatch("a feature map (C, H, W)", vector)),
        }
    }
}

/// `x * scale + offset`, for all values or channel by channel, as Keras'
/// `Rescaling`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rescale {
    /// One factor, or one for each channel.
    pub scale: Vec<f32>,
    /// One summand, or one for each channel.
    pub offset: Vec<f32>,
}

impl Rescale {
    /// The same scale and offset for all values.
    pub fn new(scale: f32, offset: f32) -> Self {
        Self::per_channel([scale], [offset])
    }

    /// A scale and an offset for each channel.
    pub fn per_channel(scale: impl Into<Vec<f32>>, offset: impl Into<Vec<f32>>) -> Self {
        Self {
            scale: scale.into(),
            offset: offset.into(),
        }
    }
}

impl Rules for Rescale {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let channels = inputs[0].channels();
        let fits = |values: &[f32]| values.len() == 1 || values.len() == channels;
        if fits(&self.scale) && fits(&self.offset) {
            Ok(inputs[0])
        } else {
            Err(Misfit::Invalid(format!(
                "{} scales and {} offsets were given for {channels} channels; give one, or one \
                 for each channel",
                self.scale.len(),
                self.offset.len()
            )))
        }
    }

    fn is_elementwise(&self) -> bool {
        true
    }
}
