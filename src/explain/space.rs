use candle_core::{Tensor, Var};

use crate::error::Result;
use crate::model::Model;
use crate::ops::wide_type;
use crate::preprocess::{Image, Preprocessing};

use super::numbers::number;

/// Converts between images and a network's inputs. Inputs are at least in f32:
/// in half precision a small step changes nothing.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) preprocessing: Preprocessing,
    /// Black and white as inputs, `(1, C, 1, 1)`.
    pub(super) low: Tensor,
    pub(super) high: Tensor,
    /// The mean over channels of white minus black.
    pub(super) range: f64,
}

impl Space {
    pub(super) fn of(model: &Model) -> Result<Self> {
        let preprocessing = model.graph().input_preprocessing()?.without_resize();
        let dtype = wide_type(model.dtype());
        let level = |byte: u8| -> Result<Tensor> {
            let image = Image::from_rgb8(1, 1, vec![byte; 3])?;
            let level = preprocessing.apply(&image)?;
            Ok(level.to_device(model.device())?.to_dtype(dtype)?)
        };
        let (low, high) = (level(0)?, level(255)?);
        Ok(Self {
            range: number(&(&high - &low)?.mean_all()?)?,
            preprocessing,
            low,
            high,
        })
    }

    /// An image as an input of the image's size.
    pub(super) fn input(&self, image: &Image) -> Result<Tensor> {
        let x = self.preprocessing.apply(image)?;
        Ok(x.to_device(self.low.device())?.to_dtype(self.low.dtype())?)
    }

    pub(super) fn image(&self, x: &Tensor) -> Result<Image> {
        self.preprocessing.to_image(x)
    }

    /// Values from 0 to 1 as inputs.
    pub(super) fn scaled(&self, unit: &Tensor) -> Result<Tensor> {
        let span = (&self.high - &self.low)?;
        Ok(unit.broadcast_mul(&span)?.broadcast_add(&self.low)?)
    }

    pub(super) fn clip(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.broadcast_maximum(&self.low)?;
        Ok(x.broadcast_minimum(&self.high)?)
    }
}

/// Adds to a variable, without recording the addition for gradients.
pub(super) fn move_by(variable: &Var, change: &Tensor) -> Result<()> {
    Ok(variable.set(&(variable.as_detached_tensor() + change)?.contiguous()?)?)
}
