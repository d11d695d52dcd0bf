//! How large an image may be.

use crate::error::{Error, ImageError, Result};

/// The longest side, in pixels, of an image that is worked on.
pub(super) const MAX_SIDE: usize = 1 << 20;

/// Bytes that an image may take by default, at 3 bytes a pixel: a third of a
/// pixel more than Pillow's `Image.MAX_IMAGE_PIXELS`, beyond which it warns of a
/// decompression bomb.
pub(crate) const MEMORY_LIMIT: u64 = 512 << 20;

/// Width and height of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Refuses a size that no image has.
    pub(crate) fn check(self) -> Result<()> {
        let Self { width, height } = self;
        let refuse = |reason: String| {
            Err(Error::Image(ImageError::Size {
                width,
                height,
                reason,
            }))
        };
        if width == 0 || height == 0 {
            return refuse("has none".to_string());
        }
        if width.max(height) > MAX_SIDE {
            return refuse(format!("has a side longer than {MAX_SIDE}"));
        }
        Ok(())
    }

    /// Number of pixels of an image that may be made, within a limit in bytes.
    pub(crate) fn pixels_within(self, limit: u64) -> Result<usize> {
        self.check()?;
        // The sides are checked.
        let pixels = self.width as u64 * self.height as u64;
        self.check_memory(3 * pixels, limit)?;
        usize::try_from(pixels).map_err(|_| self.too_large(3 * pixels, limit))
    }

    /// As [`pixels_within`](Self::pixels_within) the default limit.
    pub(crate) fn pixels(self) -> Result<usize> {
        self.pixels_within(MEMORY_LIMIT)
    }

    pub(super) fn check_memory(self, needed: u64, limit: u64) -> Result<()> {
        match needed <= limit {
            true => Ok(()),
            false => Err(self.too_large(needed, limit)),
        }
    }

    fn too_large(self, needed: u64, limit: u64) -> Error {
        Error::Image(ImageError::Memory {
            width: self.width,
            height: self.height,
            needed,
            limit,
        })
    }
}
