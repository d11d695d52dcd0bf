use serde::{Deserialize, Serialize};

use super::resample::{Axis, ResizeFilter};
use super::size::Size;
use crate::error::{Error, ImageError, Result};

/// How an image of any size is brought to the size a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resize {
    /// The image's own size.
    None,
    /// The whole image, whatever that does to its proportions.
    Squash {
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// How pixels are made up.
        filter: ResizeFilter,
    },
    /// The proportions kept, then a crop from the middle; what the crop
    /// exceeds the resized image by is black. Rounded as torchvision's
    /// `Resize(short_side)` and `CenterCrop(crop)` do: the long side down,
    /// half a pixel of the crop's place to even.
    ShortSide {
        /// The shorter side after the resize, in pixels.
        short_side: usize,
        /// Height and width of the crop in pixels; all of it without one.
        crop: Option<(usize, usize)>,
        /// How pixels are made up.
        filter: ResizeFilter,
    },
}

/// A resize of an image of known size, of which only what is seen is
/// computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// The size of the result.
    pub(super) canvas: Size,
    /// Column and row at which the resized part begins.
    pub(super) left: usize,
    pub(super) top: usize,
}

/// The part of an image that a network sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// The size of the image, in pixels.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rows: Span,
    pub(crate) columns: Span,
}

/// A stretch of rows or columns, in pixels of the image. It exceeds the image
/// where a preprocessing pads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: f64,
    pub(crate) length: f64,
}

impl View {
    /// All of an image.
    pub(crate) fn whole(height: usize, width: usize) -> Self {
        let span = |length: usize| Span {
            start: 0.0,
            length: length as f64,
        };
        Self {
            height,
            width,
            rows: span(height),
            columns: span(width),
        }
    }
}

impl Placement {
    fn view(&self) -> View {
        let span = |axis: &Axis, padding: usize, canvas: usize| {
            let scale = axis.input as f64 / axis.output as f64;
            Span {
                start: (axis.wanted.start as f64 - padding as f64) * scale,
                length: canvas as f64 * scale,
            }
        };
        View {
            height: self.y.input,
            width: self.x.input,
            rows: span(&self.y, self.top, self.canvas.height),
            columns: span(&self.x, self.left, self.canvas.width),
        }
    }

    pub(super) fn whole(from: Size, to: Size) -> Self {
        Self::cropped(from, to, to)
    }

    /// The middle of an image that was resized.
    fn cropped(from: Size, to: Size, crop: Size) -> Self {
        let (x, left) = middle(from.width, to.width, crop.width);
        let (y, top) = middle(from.height, to.height, crop.height);
        Self {
            x,
            y,
            canvas: crop,
            left,
            top,
        }
    }
}

/// What torchvision's `center_crop` leaves of one axis, and the padding before
/// it.
fn middle(input: usize, output: usize, crop: usize) -> (Axis, usize) {
    let (wanted, padding) = if crop > output {
        (0..output, (crop - output) / 2)
    } else {
        let start = half_to_even(output - crop);
        (start..start + crop, 0)
    };
    let axis = Axis {
        input,
        output,
        wanted,
    };
    (axis, padding)
}

/// `round(n / 2)` as Python rounds.
fn half_to_even(n: usize) -> usize {
    let half = n / 2;
    half + (n % 2) * (half % 2)
}

impl Resize {
    /// Height and width of the result, unless they depend on the image.
    pub fn size(&self) -> Option<(usize, usize)> {
        match *self {
            Self::None => None,
            Self::Squash { height, width, .. } => Some((height, width)),
            Self::ShortSide { crop, .. } => crop,
        }
    }

    /// How pixels are made up; nearest where there is no resize.
    pub(crate) fn filter(&self) -> ResizeFilter {
        match *self {
            Self::None => ResizeFilter::Nearest,
            Self::Squash { filter, .. } | Self::ShortSide { filter, .. } => filter,
        }
    }

    /// The part of an image of this size that is left after the resize.
    pub(crate) fn view(&self, size: Size) -> Result<View> {
        let placement = self.placement(size)?;
        let whole = View::whole(size.height, size.width);
        Ok(placement.map_or(whole, |placement| placement.view()))
    }

    /// How an image of this size is resized; `None` if it is not.
    pub(super) fn placement(&self, from: Size) -> Result<Option<Placement>> {
        from.check()?;
        let (to, canvas) = match *self {
            Self::None => return Ok(None),
            Self::Squash { height, width, .. } => {
                let to = Size { width, height };
                (to, to)
            }
            Self::ShortSide {
                short_side, crop, ..
            } => {
                let to = scaled(from, short_side)?;
                (
                    to,
                    crop.map_or(to, |(height, width)| Size { width, height }),
                )
            }
        };
        canvas.check()?;
        let unchanged = to == from && canvas == from;
        Ok((!unchanged).then(|| Placement::cropped(from, to, canvas)))
    }
}

fn scaled(size: Size, short_side: usize) -> Result<Size> {
    // Pillow's sizes are C ints, and `Axis` counts up to them.
    const LIMIT: usize = i32::MAX as usize;
    let Size { width, height } = size;
    let (short, long) = (width.min(height), width.max(height));
    if short_side == 0 {
        return Err(Error::InvalidPreprocessing {
            reason: "the short side is 0; set it to at least 1".to_string(),
        });
    }
    let long_side = short_side.checked_mul(long).map(|product| product / short);
    let Some(long_side) = long_side.filter(|&side| side <= LIMIT) else {
        return Err(Error::Image(ImageError::Size {
            width,
            height,
            reason: format!(
                "would be longer than {LIMIT} with a short side of {short_side}; crop it first"
            ),
        }));
    };
    Ok(if width <= height {
        Size {
            width: short_side,
            height: long_side,
        }
    } else {
        Size {
            width: long_side,
            height: short_side,
        }
    })
}
