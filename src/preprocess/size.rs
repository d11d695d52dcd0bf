//! How large an image may be.

use crate::error::{Error, ImageError, Result};

/// The longest side, in pixels, of an image that is worked on.
pub(super) const MAX_SIDE: usize = 1 << 20;

/// The most pixels of an image that is worked on: Pillow's
/// `Image.MAX_IMAGE_PIXELS`, beyond which it warns of a decompression bomb.
const MAX_PIXELS: usize = 178_956_970;

/// Width and height of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Number of pixels, of an image that may be worked on.
    pub(crate) fn pixels(self) -> Result<usize> {
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
        match width.checked_mul(height) {
            Some(pixels) if pixels <= MAX_PIXELS => Ok(pixels),
            _ => refuse(format!("has more than {MAX_PIXELS}")),
        }
    }
}
