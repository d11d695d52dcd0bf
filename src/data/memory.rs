use std::fmt;

use crate::error::Result;
use crate::preprocess::Labels;
use crate::random::hash;

use super::dataset::{Dataset, check_classes, check_index};
use super::sample::{Sample, Target};

/// Examples in memory, often collected from an iterator.
///
/// ```
/// use vgg_surgery::data::{MemoryDataset, Sample};
/// use vgg_surgery::{Dataset, Image, Result};
///
/// let levels = [0u8, 85, 170, 255];
/// let samples = levels.iter().enumerate().map(|(class, &level)| {
///     Ok(Sample::new(Image::from_rgb8(4, 4, vec![level; 48])?, class))
/// });
/// let data = samples.collect::<Result<MemoryDataset>>()?;
/// assert_eq!(data.len(), 4);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MemoryDataset {
    samples: Vec<Sample>,
    classes: Option<Labels>,
}

impl MemoryDataset {
    /// A data set of these examples.
    pub fn new(samples: impl Into<Vec<Sample>>) -> Self {
        Self {
            samples: samples.into(),
            classes: None,
        }
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`](crate::Error::ClassOutOfRange) if an
    /// example's class has no name.
    pub fn with_classes(mut self, labels: Labels) -> Result<Self> {
        check_classes(&self, &labels)?;
        self.classes = Some(labels);
        Ok(self)
    }
}

impl FromIterator<Sample> for MemoryDataset {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        Self::new(samples.into_iter().collect::<Vec<_>>())
    }
}

impl Dataset for MemoryDataset {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        Ok(self.samples[index].clone())
    }

    fn classes(&self) -> Option<&Labels> {
        self.classes.as_ref()
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        match self.samples.get(index)?.target {
            Target::Class(class) => Some(class),
            _ => None,
        }
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.samples.get(index)?.fingerprint().ok()
    }
}

/// Examples that a function computes from their index.
///
/// The fingerprint of an example is a hash of what the function returns, so
/// that a trainer that caches features calls it once more for each example;
/// [`with_version`](Self::with_version) saves that.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::data::{FnDataset, Sample, Target};
/// use vgg_surgery::Dataset;
///
/// let data = FnDataset::new(100, |index| {
///     let x = Tensor::new(&[index as f32, 1.0], &Device::Cpu)?;
///     Ok(Sample::new(x, index % 2))
/// });
/// assert!(matches!(data.sample(7)?.target, Target::Class(1)));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
pub struct FnDataset<F> {
    len: usize,
    make: F,
    classes: Option<Labels>,
    version: Option<u64>,
}

impl<F: Fn(usize) -> Result<Sample> + Send + Sync> FnDataset<F> {
    /// `len` examples. `make` returns the example at an index, the same each
    /// time. Several threads call it at once.
    pub fn new(len: usize, make: F) -> Self {
        Self {
            len,
            make,
            classes: None,
            version: None,
        }
    }

    /// Sets a number that you change whenever the function returns other
    /// examples. Fingerprints are then hashes of this number and the index, and
    /// the function is not called for them.
    ///
    /// ```
    /// use vgg_surgery::data::FnDataset;
    /// use vgg_surgery::{Dataset, Error};
    ///
    /// let slow = FnDataset::new(10, |_| Err(Error::other("it takes long"))).with_version(1);
    /// assert!(slow.fingerprint(7).is_some());
    /// ```
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Names the classes.
    pub fn with_classes(mut self, labels: Labels) -> Self {
        self.classes = Some(labels);
        self
    }
}

impl<F: Fn(usize) -> Result<Sample> + Send + Sync> Dataset for FnDataset<F> {
    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len)?;
        (self.make)(index)
    }

    fn classes(&self) -> Option<&Labels> {
        self.classes.as_ref()
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        match self.version {
            Some(version) if index < self.len => {
                let numbers = [version, index as u64].map(u64::to_le_bytes);
                Some(hash(numbers.into_iter().flatten()))
            }
            _ => self.sample(index).ok()?.fingerprint().ok(),
        }
    }
}

impl<F> fmt::Debug for FnDataset<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnDataset")
            .field("len", &self.len)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}
