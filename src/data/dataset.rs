use std::sync::Arc;

use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;

use super::sample::Sample;

/// Examples in a fixed order, each of which can be had at any time and from
/// any thread.
///
/// ```
/// use vgg_surgery::{Dataset, Picture, Result, Sample};
///
/// struct Greys;
///
/// impl Dataset for Greys {
///     fn len(&self) -> usize {
///         256
///     }
///     fn sample(&self, index: usize) -> Result<Sample> {
///         let level = u8::try_from(index).unwrap_or(255);
///         let picture = Picture::from_rgb8(8, 8, vec![level; 192])?;
///         Ok(Sample::new(picture, usize::from(level > 127)))
///     }
/// }
/// assert_eq!(Greys.len(), 256);
/// ```
pub trait Dataset: Send + Sync {
    /// Number of examples.
    fn len(&self) -> usize;

    /// The example of this index, from 0; the same each time.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`], and whatever keeps the example from
    /// being read.
    fn sample(&self, index: usize) -> Result<Sample>;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes, by index, if the targets are classes that
    /// have names.
    fn classes(&self) -> Option<&Labels> {
        None
    }

    /// The class of an example, if that is known without reading it.
    fn class_of(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }

    /// A number that changes when the example of this index does. What was
    /// computed from an example is kept under it; without one, nothing is.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let _ = index;
        None
    }
}

macro_rules! behind {
    ($($pointer:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }

            fn sample(&self, index: usize) -> Result<Sample> {
                (**self).sample(index)
            }

            fn is_empty(&self) -> bool {
                (**self).is_empty()
            }

            fn classes(&self) -> Option<&Labels> {
                (**self).classes()
            }

            fn class_of(&self, index: usize) -> Option<usize> {
                (**self).class_of(index)
            }

            fn fingerprint(&self, index: usize) -> Option<u64> {
                (**self).fingerprint(index)
            }
        }
    )*};
}

behind!(&D, Box<D>, Arc<D>);

pub(super) fn check_index(index: usize, len: usize) -> Result<()> {
    if index < len {
        return Ok(());
    }
    Err(Error::Data(DataError::IndexOutOfRange { index, len }))
}
