use candle_core::{Device, Tensor};

use crate::error::{Error, ImageError, Result};
use crate::preprocess::{Image, ResizeFilter};
use crate::random::hash;

/// A gray image that says of each pixel of another image what it shows: the
/// target of segmentation.
///
/// A [`Loader`](super::Loader) and a trainer resize and augment it like the
/// image; colors, noise and erasing leave it alone. A batch has the masks as
/// values: `(N, H, W)` of type u32 if they are classes, `(N, 1, H, W)` of type
/// f32 if they are fractions.
///
/// ```
/// use vgg_surgery::Image;
/// use vgg_surgery::data::{Mask, Sample};
///
/// let image = Image::from_rgb8(2, 1, [9; 6])?;
/// let sample = Sample::new(image, Mask::classes(2, 1, [0, 3])?);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// With three equal channels.
    image: Image,
    kind: MaskKind,
    ignored: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskKind {
    Classes,
    Fractions,
}

impl Mask {
    /// The class of each pixel, along the rows from the top. Resized without
    /// mixing classes. Pixels beyond the edge are of the
    /// [ignored class](Self::ignore_class), or else of class 0.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are no pixels or too many;
    /// [`ImageError::Bytes`] unless there are `width * height` bytes.
    pub fn classes(width: usize, height: usize, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let image = gray(width, height, bytes.as_ref())?;
        Ok(Self::new(image, MaskKind::Classes))
    }

    /// A fraction for each pixel, from 0 for a byte of 0 to 1 for 255, along the
    /// rows from the top. Edges may be soft.
    ///
    /// # Errors
    /// As [`Mask::classes`].
    pub fn fractions(width: usize, height: usize, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let image = gray(width, height, bytes.as_ref())?;
        Ok(Self::new(image, MaskKind::Fractions))
    }

    /// Leaves pixels of this class out: in a batch they are [`Mask::NO_CLASS`], which
    /// losses do not count, and so are pixels that a rotation, a shift or a crop
    /// brings in from beyond the edge. Masks of fractions do not change.
    ///
    /// ```
    /// use vgg_surgery::data::Mask;
    ///
    /// let mask = Mask::classes(3, 1, [0, 255, 1])?.ignore_class(255);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn ignore_class(self, class: u8) -> Self {
        self.ignoring(Some(class))
    }

    /// The class, in a tensor of classes of type u32, of pixels that have none. The
    /// cross-entropies are means over the other pixels of a batch.
    pub const NO_CLASS: u32 = u32::MAX;

    pub(super) fn new(image: Image, kind: MaskKind) -> Self {
        Self {
            image,
            kind,
            ignored: None,
        }
    }

    pub(super) fn ignoring(mut self, class: Option<u8>) -> Self {
        self.ignored = class;
        self
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.image.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.image.height()
    }

    /// The byte of each pixel, along the rows from the top.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.image.as_rgb8().iter().step_by(3).copied().collect()
    }

    /// A mask whose pixels were moved by a function that fills in zeros. They become
    /// the ignored class, if there is one.
    pub(super) fn moved(&self, change: impl FnOnce(&Image) -> Result<Image>) -> Result<Self> {
        let image = match (self.kind, self.ignored) {
            (MaskKind::Classes, Some(ignored)) => {
                let input = exchanged(self.image.clone(), ignored)?;
                exchanged(change(&input)?, ignored)?
            }
            _ => change(&self.image)?,
        };
        Ok(Self { image, ..*self })
    }

    /// The filter that must be used to move or resize it, if not any.
    pub(super) fn filter(&self) -> Option<ResizeFilter> {
        (self.kind == MaskKind::Classes).then_some(ResizeFilter::Nearest)
    }

    /// The highest class.
    pub(super) fn highest_class(&self) -> Option<usize> {
        match self.kind {
            MaskKind::Classes => {
                let bytes = self.image.as_rgb8().iter().copied();
                let classes = bytes.filter(|&byte| Some(byte) != self.ignored);
                classes.max().map(usize::from)
            }
            MaskKind::Fractions => None,
        }
    }

    /// `(H, W)` of type u32, or `(1, H, W)` of type f32.
    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        let (width, height) = (self.width(), self.height());
        let bytes = self.to_bytes().into_iter();
        Ok(match self.kind {
            MaskKind::Classes => {
                let class = |byte| match Some(byte) == self.ignored {
                    true => Self::NO_CLASS,
                    false => u32::from(byte),
                };
                let classes = bytes.map(class).collect();
                Tensor::from_vec::<_, u32>(classes, (height, width), &Device::Cpu)?
            }
            MaskKind::Fractions => {
                let fractions = bytes.map(|byte| f32::from(byte) / 255.0).collect();
                Tensor::from_vec::<_, f32>(fractions, (1, height, width), &Device::Cpu)?
            }
        })
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let width = (self.width() as u64).to_le_bytes();
        let bytes = [self.kind as u8].into_iter().chain(self.ignored);
        let bytes = bytes.chain(width);
        hash(bytes.chain(self.to_bytes()))
    }
}

/// An image with this level and 0 exchanged.
fn exchanged(image: Image, level: u8) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let mut bytes = image.into_rgb8();
    for byte in &mut bytes {
        *byte = match *byte {
            0 => level,
            other if other == level => 0,
            other => other,
        };
    }
    Image::from_rgb8(width, height, bytes)
}

fn gray(width: usize, height: usize, bytes: &[u8]) -> Result<Image> {
    let rgb: Vec<u8> = bytes.iter().flat_map(|&byte| [byte; 3]).collect();
    Image::from_rgb8(width, height, rgb).map_err(|error| match error {
        Error::Image(ImageError::Bytes { expected, .. }) => Error::Image(ImageError::Bytes {
            width,
            height,
            expected: expected / 3,
            actual: bytes.len(),
        }),
        other => other,
    })
}
