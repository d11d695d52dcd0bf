use std::borrow::Borrow;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::image::Image;
use super::pipeline::{ChannelOrder, PixelRange, Preprocessing};
use super::size::Size;
use crate::error::{Error, ImageError, Result};

impl Preprocessing {
    /// One image as an f32 tensor `(1, 3, H, W)` on the CPU.
    ///
    /// # Errors
    /// As [`apply_batch`](Self::apply_batch).
    pub fn apply(&self, image: &Image) -> Result<Tensor> {
        self.apply_batch(&[image])
    }

    /// Images as one f32 tensor `(N, 3, H, W)` on the CPU.
    ///
    /// # Errors
    /// [`ImageError::EmptyBatch`] without images; [`ImageError::BatchSizes`] if
    /// their sizes after the resize differ; [`ImageError::Size`] if an image has
    /// no pixels or too many, before or after the resize;
    /// [`Error::InvalidPreprocessing`] if the mean is not finite, the standard
    /// deviation is not finite and above 0, or the short side is 0.
    pub fn apply_batch<P: Borrow<Image> + Sync>(&self, images: &[P]) -> Result<Tensor> {
        self.check()?;
        let planes = images.par_iter().map(|image| {
            let fitted = self.fit(image.borrow())?;
            Ok((fitted.size(), self.normalize(&fitted)))
        });
        let planes = planes.collect::<Result<Vec<_>>>()?;
        let Some(&(Size { width, height }, _)) = planes.first() else {
            return Err(Error::Image(ImageError::EmptyBatch));
        };
        let mut values = Vec::with_capacity(planes.len() * 3 * height * width);
        let shape = (planes.len(), 3, height, width);
        for (index, (size, plane)) in planes.into_iter().enumerate() {
            if size != (Size { width, height }) {
                return Err(Error::Image(ImageError::BatchSizes {
                    index,
                    expected: (height, width),
                    actual: (size.height, size.width),
                }));
            }
            values.extend(plane);
        }
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// The image as the network sees it, before normalization: resized and
    /// cropped, in 8 bits.
    ///
    /// # Errors
    /// [`ImageError::Size`] if the image has no pixels or too many, before or
    /// after the resize; [`Error::InvalidPreprocessing`] if the short side is 0.
    pub fn fit(&self, image: &Image) -> Result<Image> {
        match self.resize().placement(image.size())? {
            Some(placement) => image.place(&placement, self.resize().filter()),
            None => Ok(image.clone()),
        }
    }

    /// The image of a tensor `(3, H, W)` or `(1, 3, H, W)`: the normalization is
    /// undone, values are rounded to the nearest of 256 levels and clipped, and
    /// NaN becomes 0. Undoes [`apply`](Self::apply), except the resize.
    ///
    /// # Errors
    /// [`ImageError::Tensor`] if the tensor has another shape;
    /// [`ImageError::Size`] if it has no pixels or too many;
    /// [`Error::InvalidPreprocessing`] as [`apply_batch`](Self::apply_batch);
    /// [`Error::Candle`] if the tensor can't be read.
    pub fn to_image(&self, tensor: &Tensor) -> Result<Image> {
        self.check()?;
        let (&[3, height, width] | &[1, 3, height, width]) = tensor.dims() else {
            return Err(Error::Image(ImageError::Tensor {
                actual: tensor.dims().to_vec(),
            }));
        };
        let area = Size { width, height }.pixels()?;
        let values = tensor
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let mut bytes = vec![0; values.len()];
        for (channel, plane) in values.chunks_exact(area).enumerate() {
            let target = self.byte_of(channel);
            for (pixel, &value) in bytes.chunks_exact_mut(3).zip(plane) {
                pixel[target] = self.denormalize(channel, value);
            }
        }
        Image::from_rgb8(width, height, bytes)
    }

    /// The color that normalizes to 0 in each channel.
    pub(crate) fn mean_color(&self) -> [u8; 3] {
        let mut color = [0; 3];
        for channel in 0..3 {
            color[self.byte_of(channel)] = self.denormalize(channel, 0.0);
        }
        color
    }

    fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::InvalidPreprocessing { reason });
        if !self.mean().iter().all(|mean| mean.is_finite()) {
            return refuse(format!("the mean {:?} is not finite", self.mean()));
        }
        if !self.std().iter().all(|&std| std.is_finite() && std > 0.0) {
            return refuse(format!(
                "the standard deviation {:?} is not finite and above 0; use 1 for none",
                self.std()
            ));
        }
        Ok(())
    }

    /// Which byte of an RGB pixel a channel of the tensor is.
    fn byte_of(&self, channel: usize) -> usize {
        match self.channel_order() {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => 2 - channel,
        }
    }

    /// The planes of an image, one after the other.
    fn normalize(&self, image: &Image) -> Vec<f32> {
        let pixels = image.as_rgb8().chunks_exact(3);
        let mut planes = Vec::with_capacity(image.as_rgb8().len());
        for channel in 0..3 {
            let source = self.byte_of(channel);
            let levels = self.levels(channel);
            let bytes = pixels.clone().map(|pixel| usize::from(pixel[source]));
            planes.extend(bytes.map(|byte| levels[byte]));
        }
        planes
    }

    /// The value of each byte, computed in f32 in the order of the original
    /// libraries, for results that agree to the last bit.
    fn levels(&self, channel: usize) -> [f32; 256] {
        let (mean, std) = (self.mean()[channel], self.std()[channel]);
        let mut levels = [0.0; 256];
        for (level, byte) in levels.iter_mut().zip(0..=u8::MAX) {
            let value = match self.range() {
                PixelRange::Unit => f32::from(byte) / 255.0,
                PixelRange::Byte => f32::from(byte),
                PixelRange::Signed => (f64::from(byte) / 127.5 - 1.0) as f32,
            };
            *level = (value - mean) / std;
        }
        levels
    }

    fn denormalize(&self, channel: usize, value: f32) -> u8 {
        let value =
            f64::from(value) * f64::from(self.std()[channel]) + f64::from(self.mean()[channel]);
        let byte = match self.range() {
            PixelRange::Unit => value * 255.0,
            PixelRange::Byte => value,
            PixelRange::Signed => (value + 1.0) * 127.5,
        };
        byte.round().clamp(0.0, 255.0) as u8
    }
}
