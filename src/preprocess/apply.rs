use std::borrow::Borrow;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::image::Image;
use super::pipeline::{ChannelOrder, PixelRange, Preprocessing};
use super::size::{MEMORY_LIMIT, Size};
use crate::error::{Error, ImageError, Result};
use crate::memory::has_room;
use crate::threads;

impl Preprocessing {
    /// One image as an f32 tensor `(1, 3, H, W)` on the CPU, or `(1, 1, H, W)` for
    /// gray.
    ///
    /// # Errors
    /// As [`apply_batch`](Self::apply_batch).
    pub fn apply(&self, image: &Image) -> Result<Tensor> {
        self.apply_batch(&[image])
    }

    /// Images as one f32 tensor `(N, 3, H, W)` on the CPU, or `(N, 1, H, W)` for
    /// gray.
    ///
    /// # Errors
    /// [`ImageError::EmptyBatch`] without images; [`ImageError::BatchSizes`] if
    /// their sizes after the resize differ; [`ImageError::BatchMemory`] if the
    /// tensor does not fit into memory; [`ImageError::Size`] if an image has
    /// no pixels or too long a side, before or after the resize;
    /// [`ImageError::Memory`] if the resize would exceed the image's
    /// [memory limit](Image::with_memory_limit);
    /// [`Error::InvalidPreprocessing`] if the mean is not finite, the standard
    /// deviation is not finite and above 0, the short side is 0, or a gray
    /// preprocessing was read with more than one mean or standard deviation.
    pub fn apply_batch<P: Borrow<Image> + Sync>(&self, images: &[P]) -> Result<Tensor> {
        self.check()?;
        threads::start()?;
        let Size { width, height } = self.size_of_all(images)?;
        let (batch, each) = (images.len(), self.channels() * height * width);
        let count = batch.checked_mul(each);
        let Some(count) = count.filter(|&count| has_room::<f32>(count)) else {
            return Err(Error::Image(ImageError::BatchMemory {
                batch,
                width,
                height,
            }));
        };
        let mut values = vec![0.0; count];
        let planes = values.par_chunks_exact_mut(each).zip(images);
        planes.try_for_each(|(planes, image)| -> Result<()> {
            self.normalize(&self.fit(image.borrow())?, planes);
            Ok(())
        })?;
        let shape = (batch, self.channels(), height, width);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// The image as the network sees it, before normalization: resized and
    /// cropped, in 8 bits, and gray if the network has one channel.
    ///
    /// # Errors
    /// [`ImageError::Size`] if the image has no pixels or too long a side, before or
    /// after the resize; [`ImageError::Memory`] if the resize would exceed the image's
    /// [memory limit](Image::with_memory_limit); [`Error::InvalidPreprocessing`] if
    /// the short side is 0.
    pub fn fit(&self, image: &Image) -> Result<Image> {
        threads::start()?;
        let fitted = match self.resize().placement(image.size())? {
            Some(placement) => image.place(&placement, self.resize().filter())?,
            None => image.clone(),
        };
        Ok(match self.channel_order() {
            ChannelOrder::Rgb | ChannelOrder::Bgr => fitted,
            ChannelOrder::Gray => fitted.into_gray(),
        })
    }

    /// The image of a tensor `(3, H, W)` or `(1, 3, H, W)`, or of one channel for
    /// gray: the normalization is undone, values are rounded to the nearest of 256
    /// levels and clipped, and NaN becomes 0. Undoes [`apply`](Self::apply), except
    /// the resize and the loss of colors.
    ///
    /// # Errors
    /// [`ImageError::Tensor`] if the tensor has another shape;
    /// [`ImageError::Size`] if it has no pixels or too long a side;
    /// [`ImageError::Memory`] if it repeats values without storing them, to more than
    /// 512 MiB; [`Error::InvalidPreprocessing`] as [`apply_batch`](Self::apply_batch);
    /// [`Error::Candle`] if the tensor can't be read.
    pub fn to_image(&self, tensor: &Tensor) -> Result<Image> {
        self.check()?;
        let (height, width) = match *tensor.dims() {
            [channels, height, width] | [1, channels, height, width]
                if channels == self.channels() =>
            {
                (height, width)
            }
            _ => {
                return Err(Error::Image(ImageError::Tensor {
                    channels: self.channels(),
                    actual: tensor.dims().to_vec(),
                }));
            }
        };
        let limit = match tensor.is_contiguous() {
            true => u64::MAX,
            false => MEMORY_LIMIT,
        };
        let area = Size { width, height }.pixels_within(limit)?;
        let values = tensor
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let mut bytes = vec![0; 3 * area];
        for (channel, plane) in values.chunks_exact(area).enumerate() {
            let targets = self.bytes_of(channel);
            for (pixel, &value) in bytes.chunks_exact_mut(3).zip(plane) {
                pixel[targets.clone()].fill(self.denormalize(channel, value));
            }
        }
        Image::from_rgb8(width, height, bytes)
    }

    /// The color that normalizes to 0 in each channel.
    pub(crate) fn mean_color(&self) -> [u8; 3] {
        let mut color = [0; 3];
        for channel in 0..self.channels() {
            color[self.bytes_of(channel)].fill(self.denormalize(channel, 0.0));
        }
        color
    }

    /// The size that all images of a batch have after the resize.
    fn size_of_all<P: Borrow<Image>>(&self, images: &[P]) -> Result<Size> {
        let mut first = None;
        for (index, image) in images.iter().enumerate() {
            let size = image.borrow().size();
            let placement = self.resize().placement(size)?;
            let actual = placement.map_or(size, |placement| placement.canvas);
            let expected = *first.get_or_insert(actual);
            if actual != expected {
                return Err(Error::Image(ImageError::BatchSizes {
                    index,
                    expected: (expected.height, expected.width),
                    actual: (actual.height, actual.width),
                }));
            }
        }
        first.ok_or(Error::Image(ImageError::EmptyBatch))
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
        let has_one = |[a, b, c]: [f32; 3]| a == b && b == c;
        if self.channels() == 1 && !(has_one(self.mean()) && has_one(self.std())) {
            return refuse(format!(
                "gray has one mean and one standard deviation, but they are {:?} and {:?}; set \
                 them with with_mean and with_std",
                self.mean(),
                self.std()
            ));
        }
        Ok(())
    }

    /// Which bytes of an RGB pixel a channel of the tensor is.
    fn bytes_of(&self, channel: usize) -> Range<usize> {
        match self.channel_order() {
            ChannelOrder::Rgb => channel..channel + 1,
            ChannelOrder::Bgr => 2 - channel..3 - channel,
            ChannelOrder::Gray => 0..3,
        }
    }

    /// Writes the planes of a fitted image, one after the other.
    fn normalize(&self, image: &Image, planes: &mut [f32]) {
        let pixels = image.as_rgb8().chunks_exact(3);
        for (channel, plane) in planes.chunks_exact_mut(pixels.len()).enumerate() {
            let source = self.bytes_of(channel).start;
            let levels = self.levels(channel);
            for (value, pixel) in plane.iter_mut().zip(pixels.clone()) {
                *value = levels[usize::from(pixel[source])];
            }
        }
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
