use std::fmt;

use super::geometry::Placement;
use super::resample::{ResizeFilter, between_passes, resample};
use super::size::Size;
use crate::error::{Error, ImageError, Result};

/// An image in memory: 8-bit RGB, rows from the top.
///
/// At least one pixel, sides of at most 2^20 pixels, and at most 178,956,970
/// pixels in all.
///
/// ```
/// use vgg_surgery::{ResizeFilter, Image};
///
/// let red_and_blue = Image::from_rgb8(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// let wide = red_and_blue.resize(4, 1, ResizeFilter::Nearest)?;
/// assert_eq!(wide.pixel(1, 0), Some([255, 0, 0]));
/// assert_eq!(wide.pixel(2, 0), Some([0, 0, 255]));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Image {
    /// An image from its bytes: red, green, blue of each pixel, along the
    /// rows from the top.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are no pixels or too many;
    /// [`ImageError::Bytes`] unless there are `3 * width * height` bytes.
    pub fn from_rgb8(width: usize, height: usize, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        let expected = 3 * Size { width, height }.pixels()?;
        if bytes.len() != expected {
            return Err(Error::Image(ImageError::Bytes {
                width,
                height,
                expected,
                actual: bytes.len(),
            }));
        }
        Ok(Self {
            width,
            height,
            bytes,
        })
    }

    /// An image whose size is checked where it is used; `bytes` holds
    /// `3 * width * height`.
    #[cfg(feature = "image")]
    pub(super) fn unchecked(width: usize, height: usize, bytes: Vec<u8>) -> Self {
        Self {
            width,
            height,
            bytes,
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
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
        Size {
            width: self.width,
            height: self.height,
        }
    }

    /// Red, green and blue in column `x` and row `y`, if that is within the
    /// image.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        self.bytes[3 * (y * self.width + x)..]
            .first_chunk()
            .copied()
    }

    /// The part of `width` x `height` pixels whose first pixel is in column
    /// `x` and row `y`.
    ///
    /// # Errors
    /// [`ImageError::Size`] if it has no pixels; [`ImageError::Crop`] if
    /// it reaches beyond the image.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self> {
        Size { width, height }.pixels()?;
        let fits = |start: usize, length: usize, side: usize| {
            start.checked_add(length).is_some_and(|end| end <= side)
        };
        if !fits(x, width, self.width) || !fits(y, height, self.height) {
            return Err(Error::Image(ImageError::Crop {
                x,
                y,
                width,
                height,
                image_width: self.width,
                image_height: self.height,
            }));
        }
        let rows = self.bytes.chunks_exact(3 * self.width).skip(y).take(height);
        Ok(Self {
            width,
            height,
            bytes: rows
                .flat_map(|row| &row[3 * x..][..3 * width])
                .copied()
                .collect(),
        })
    }

    /// The whole image at `width` x `height` pixels, byte for byte as
    /// Pillow 13's `Image.resize`: with antialias where it shrinks, except
    /// [`ResizeFilter::Nearest`].
    ///
    /// # Errors
    /// [`ImageError::Size`] if a side is 0, or if the result, or the image
    /// resized in one direction alone, has too many pixels.
    pub fn resize(&self, width: usize, height: usize, filter: ResizeFilter) -> Result<Self> {
        let size = Size { width, height };
        size.pixels()?;
        self.check()?;
        if size == self.size() {
            return Ok(self.clone());
        }
        self.place(&Placement::whole(self.size(), size), filter)
    }

    /// The image resized and laid on a black canvas.
    pub(super) fn place(&self, placement: &Placement, filter: ResizeFilter) -> Result<Self> {
        let Placement {
            x,
            y,
            canvas,
            left,
            top,
        } = placement;
        let area = canvas.pixels()?;
        if filter != ResizeFilter::Nearest {
            between_passes(x, y).pixels()?;
        }
        let part = resample(&self.bytes, x, y, filter);
        let Size { width, height } = *canvas;
        if (x.wanted.len(), y.wanted.len()) == (width, height) {
            return Ok(Self {
                width,
                height,
                bytes: part,
            });
        }
        let mut bytes = vec![0; 3 * area];
        let rows = bytes.chunks_exact_mut(3 * width).skip(*top);
        for (to, from) in rows.zip(part.chunks_exact(3 * x.wanted.len())) {
            to[3 * left..][..from.len()].copy_from_slice(from);
        }
        Ok(Self {
            width,
            height,
            bytes,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        self.size().pixels().map(|_| ())
    }
}

/// The size alone: the pixels are too many to print.
impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}
