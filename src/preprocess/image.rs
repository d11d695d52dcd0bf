use std::fmt;

use super::geometry::Placement;
use super::resample::{ResizeFilter, between_passes, resample};
use super::size::{MEMORY_LIMIT, Size};
use crate::error::{Error, ImageError, Result};

/// An image in memory: 8-bit RGB, rows from the top.
///
/// It has at least one pixel and sides of at most 2^20 pixels. An image that is
/// made from it by resizing or preprocessing takes at most 512 MiB, at 3 bytes a
/// pixel; [`with_memory_limit`](Self::with_memory_limit) sets another limit.
///
/// ```
/// use vgg_surgery::preprocess::ResizeFilter;
/// use vgg_surgery::Image;
///
/// let red_and_blue = Image::from_rgb8(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// let wide = red_and_blue.resize(4, 1, ResizeFilter::Nearest)?;
/// assert_eq!(wide.pixel(1, 0), Some([255, 0, 0]));
/// assert_eq!(wide.pixel(2, 0), Some([0, 0, 255]));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
pub struct Image {
    size: Size,
    bytes: Vec<u8>,
    /// Bytes of an image that is made from it.
    limit: u64,
}

/// Whether size and pixels are equal.
impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        (self.size, &self.bytes) == (other.size, &other.bytes)
    }
}

impl Eq for Image {}

impl Image {
    /// An image from its bytes: red, green, blue of each pixel, along the
    /// rows from the top.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are no pixels or a side is too long;
    /// [`ImageError::Bytes`] unless there are `3 * width * height` bytes.
    pub fn from_rgb8(width: usize, height: usize, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let (bytes, size) = (bytes.into(), Size { width, height });
        size.check()?;
        let expected = 3usize.saturating_mul(width).saturating_mul(height);
        if bytes.len() != expected {
            return Err(Error::Image(ImageError::Bytes {
                width,
                height,
                expected,
                actual: bytes.len(),
            }));
        }
        Ok(Self::unchecked(size, bytes))
    }

    /// An image whose size is checked when it is used; `bytes` has
    /// `3 * width * height` values.
    pub(super) fn unchecked(size: Size, bytes: Vec<u8>) -> Self {
        Self {
            size,
            bytes,
            limit: MEMORY_LIMIT,
        }
    }

    /// Sets the most memory, in bytes, that an image may take which is made from
    /// this one by [`resize`](Self::resize) or a
    /// [`Preprocessing`](crate::Preprocessing), at 3 bytes a pixel; by default
    /// 512 MiB. A larger one is refused before it is computed. The new image has
    /// this limit too.
    ///
    /// ```
    /// use vgg_surgery::preprocess::ResizeFilter;
    /// use vgg_surgery::Image;
    ///
    /// let image = Image::from_rgb8(1, 1, [9; 3])?.with_memory_limit(300);
    /// assert!(image.resize(10, 10, ResizeFilter::Nearest).is_ok());
    /// assert!(image.resize(10, 11, ResizeFilter::Nearest).is_err());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// The most memory, in bytes, of an image that is made from this one.
    pub fn memory_limit(&self) -> u64 {
        self.limit
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.size.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.size.height
    }

    /// Red, green, blue of each pixel, along the rows from the top:
    /// `3 * width * height` bytes.
    pub fn as_rgb8(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of [`as_rgb8`](Self::as_rgb8), without a copy.
    pub fn into_rgb8(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Red, green and blue in column `x` and row `y`, if that is within the
    /// image.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let Size { width, height } = self.size;
        let is_inside = x < width && y < height;
        is_inside.then(|| self.bytes[3 * (y * width + x)..].first_chunk().copied())?
    }

    /// The part of `width` x `height` pixels whose first pixel is in column
    /// `x` and row `y`.
    ///
    /// # Errors
    /// [`ImageError::Size`] if it has no pixels; [`ImageError::Crop`] if
    /// it reaches beyond the image.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self> {
        let (size, whole) = (Size { width, height }, self.size);
        size.check()?;
        let fits = |start: usize, length: usize, side: usize| {
            start.checked_add(length).is_some_and(|end| end <= side)
        };
        if !fits(x, width, whole.width) || !fits(y, height, whole.height) {
            return Err(Error::Image(ImageError::Crop {
                x,
                y,
                width,
                height,
                image_width: whole.width,
                image_height: whole.height,
            }));
        }
        let rows = self.bytes.chunks_exact(3 * whole.width);
        let rows = rows
            .skip(y)
            .take(height)
            .map(|row| &row[3 * x..][..3 * width]);
        let bytes = rows.collect::<Vec<_>>().concat();
        Ok(self.made(size, bytes))
    }

    /// The whole image at `width` x `height` pixels, byte for byte as
    /// Pillow 13's `Image.resize`: with antialiasing if it shrinks, except
    /// [`ResizeFilter::Nearest`].
    ///
    /// # Errors
    /// [`ImageError::Size`] if a side is 0 or too long; [`ImageError::Memory`] if
    /// the result, or the image resized in one direction alone, would exceed the
    /// [memory limit](Self::with_memory_limit).
    pub fn resize(&self, width: usize, height: usize, filter: ResizeFilter) -> Result<Self> {
        let size = Size { width, height };
        size.check()?;
        self.check()?;
        if size == self.size() {
            return Ok(self.clone());
        }
        self.place(&Placement::whole(self.size(), size), filter)
    }

    /// The resized image on a black canvas.
    pub(super) fn place(&self, placement: &Placement, filter: ResizeFilter) -> Result<Self> {
        let Placement {
            x,
            y,
            canvas,
            left,
            top,
        } = placement;
        let (size, area) = (*canvas, canvas.pixels_within(self.limit)?);
        if filter != ResizeFilter::Nearest {
            between_passes(x, y).pixels_within(self.limit)?;
        }
        let part = resample(&self.bytes, x, y, filter);
        if (x.wanted.len(), y.wanted.len()) == (size.width, size.height) {
            return Ok(self.made(size, part));
        }
        let mut bytes = vec![0; 3 * area];
        let rows = bytes.chunks_exact_mut(3 * size.width).skip(*top);
        for (to, from) in rows.zip(part.chunks_exact(3 * x.wanted.len())) {
            to[3 * left..][..from.len()].copy_from_slice(from);
        }
        Ok(self.made(size, bytes))
    }

    /// An image that is made from this one.
    fn made(&self, size: Size, bytes: Vec<u8>) -> Self {
        let limit = self.limit;
        Self { size, bytes, limit }
    }

    /// The luma in all three channels: Pillow's `L24` of its Convert.c, ITU-R 601
    /// in units of 1/65536. These add up to 1, so gray pixels do not change.
    pub(super) fn into_gray(mut self) -> Self {
        for pixel in self.bytes.chunks_exact_mut(3) {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            let luma = 19_595 * red + 38_470 * green + 7_471 * blue + 0x8000;
            // At most 255 and a half, as the weights add up to 65536.
            pixel.fill((luma >> 16) as u8);
        }
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        self.size().check()
    }
}

/// Prints the size only.
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width(), self.height())
    }
}
