use candle_core::{DType, Device, Tensor};

use crate::error::{DataError, Error, Result};
use crate::optim::is_finite;
use crate::preprocess::Image;
use crate::random::hash;

use super::mask::Mask;

/// One example: an input of a network and the expected output.
///
/// ```
/// use vgg_surgery::data::{Sample, Target};
/// use vgg_surgery::Image;
///
/// let image = Image::from_rgb8(2, 1, [0, 0, 0, 255, 255, 255])?;
/// let sample = Sample::new(image, 3).with_weight(0.5);
/// assert!(matches!(sample.target, Target::Class(3)));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Sample {
    /// The input.
    pub input: SampleInput,
    /// The expected output.
    pub target: Target,
    /// The example's weight in the loss; 1 by default.
    pub weight: f32,
}

/// The input of one example.
#[derive(Clone, Debug)]
pub enum SampleInput {
    /// An image, which the network's preprocessing turns into a tensor.
    Image(Image),
    /// A tensor without the batch dimension, `(C, H, W)` or `(F)`. It is not
    /// preprocessed.
    Tensor(Tensor),
}

/// The expected output for one example.
#[derive(Clone, Debug)]
pub enum Target {
    /// One class, by its index.
    Class(usize),
    /// A fraction for each class, as in one-hot and mixed targets. Several labels of
    /// one example are [`Target::Values`].
    Soft(Vec<f32>),
    /// Values of any shape, without the batch dimension, for regression.
    Values(Tensor),
    /// A class or a fraction for each pixel, resized and augmented with the
    /// image.
    Mask(Mask),
}

impl Sample {
    /// An example of weight 1.
    pub fn new(input: impl Into<SampleInput>, target: impl Into<Target>) -> Self {
        Self {
            input: input.into(),
            target: target.into(),
            weight: 1.0,
        }
    }

    /// Sets the weight in the loss, which must be finite and at least 0.
    pub fn with_weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// A hash of input, target and weight, for
    /// [`Dataset::fingerprint`](super::Dataset::fingerprint) of a custom data
    /// set.
    ///
    /// ```
    /// use vgg_surgery::Image;
    /// use vgg_surgery::data::Sample;
    ///
    /// let gray = |level| Image::from_rgb8(1, 1, [level; 3]);
    /// let one = Sample::new(gray(7)?, 0).fingerprint()?;
    /// assert_eq!(one, Sample::new(gray(7)?, 0).fingerprint()?);
    /// assert_ne!(one, Sample::new(gray(8)?, 0).fingerprint()?);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor can't be read.
    pub fn fingerprint(&self) -> Result<u64> {
        let input = match &self.input {
            SampleInput::Tensor(tensor) => content(tensor)?,
            SampleInput::Image(image) => {
                let width = (image.width() as u64).to_le_bytes();
                let pixels = image.as_rgb8().iter().copied();
                hash(width.into_iter().chain(pixels))
            }
        };
        let (kind, target) = match &self.target {
            &Target::Class(class) => (0, class as u64),
            Target::Soft(fractions) => {
                let bits = fractions.iter().map(|fraction| fraction.to_bits());
                (1, hash(bits.flat_map(u32::to_le_bytes)))
            }
            Target::Values(values) => (2, content(values)?),
            Target::Mask(mask) => (3, mask.fingerprint()),
        };
        let numbers = [input, kind, target, self.weight.to_bits().into()];
        Ok(hash(numbers.into_iter().flat_map(u64::to_le_bytes)))
    }

    pub(super) fn check(&self, index: usize, classes: Option<usize>) -> Result<()> {
        let refuse = |what| Err(Error::Data(DataError::NonFinite { index, what }));
        if let SampleInput::Tensor(tensor) = &self.input
            && !is_finite(tensor)?
        {
            return refuse("input");
        }
        let finite = match &self.target {
            Target::Class(_) | Target::Mask(_) => true,
            Target::Soft(fractions) => fractions.iter().all(|fraction| fraction.is_finite()),
            Target::Values(values) => is_finite(values)?,
        };
        if !finite {
            return refuse("target");
        }
        if !self.weight.is_finite() || self.weight < 0.0 {
            return Err(Error::setting(
                format!("the weight {} of example {index}", self.weight),
                "is not finite and at least 0",
            ));
        }
        self.check_mask_size(index)?;
        match (self.target.highest_class(), classes) {
            (Some(class), Some(classes)) if class >= classes => Err(Error::ClassOutOfRange {
                example: Some(index),
                class,
                classes,
            }),
            _ => Ok(()),
        }
    }

    fn check_mask_size(&self, index: usize) -> Result<()> {
        let (SampleInput::Image(image), Target::Mask(mask)) = (&self.input, &self.target) else {
            return Ok(());
        };
        let (expected, mask) = (
            (image.height(), image.width()),
            (mask.height(), mask.width()),
        );
        if expected == mask {
            return Ok(());
        }
        Err(Error::Data(DataError::MaskSize {
            image: format!("example {index}"),
            expected,
            mask,
        }))
    }
}

impl SampleInput {
    /// The image; `None` if the input is a tensor.
    ///
    /// ```
    /// use vgg_surgery::Dataset;
    /// use vgg_surgery::data::{Motif, ProceduralDataset};
    ///
    /// let bricks = ProceduralDataset::new([Motif::Bricks], 1)?;
    /// let image = bricks.sample(0)?.input.into_image().expect("the examples are images");
    /// assert_eq!(image.width(), 64);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn into_image(self) -> Option<Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Tensor(_) => None,
        }
    }
}

impl Target {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Class(_) => "a class",
            Self::Soft(_) => "a fraction for each class",
            Self::Values(_) => "a tensor of values",
            Self::Mask(_) => "a mask",
        }
    }

    fn highest_class(&self) -> Option<usize> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Mask(mask) => mask.highest_class(),
            Self::Soft(_) | Self::Values(_) => None,
        }
    }
}

impl From<Image> for SampleInput {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl From<Tensor> for SampleInput {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<usize> for Target {
    fn from(class: usize) -> Self {
        Self::Class(class)
    }
}

impl From<Vec<f32>> for Target {
    fn from(fractions: Vec<f32>) -> Self {
        Self::Soft(fractions)
    }
}

impl From<Mask> for Target {
    fn from(mask: Mask) -> Self {
        Self::Mask(mask)
    }
}

impl From<Tensor> for Target {
    fn from(values: Tensor) -> Self {
        Self::Values(values)
    }
}

/// A hash of a tensor's shape and values.
fn content(tensor: &Tensor) -> Result<u64> {
    let values = tensor.flatten_all()?.to_device(&Device::Cpu)?;
    let values = values.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let sizes = tensor.dims().iter().map(|&size| size as u64);
    let bits = values.into_iter().map(f64::to_bits);
    Ok(hash(sizes.chain(bits).flat_map(u64::to_le_bytes)))
}
