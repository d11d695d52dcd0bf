//! How large a picture may be.

use crate::error::{Error, PictureError, Result};

/// The longest side, in pixels, of a picture that is worked on.
pub(super) const MAX_SIDE: usize = 1 << 20;

/// The most pixels of a picture that is worked on: Pillow's
/// `Image.MAX_IMAGE_PIXELS`, beyond which it warns of a decompression bomb.
const MAX_PIXELS: usize = 178_956_970;

/// Width and height of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Number of pixels, of a picture that may be worked on.
    pub(crate) fn pixels(self) -> Result<usize> {
        let Self { width, height } = self;
        let refuse = |reason: String| {
            Err(Error::Picture(PictureError::Size {
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
