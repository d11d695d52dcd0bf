use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;

use super::sample::{Sample, Target};
use super::selection;

/// Examples in a fixed order, which any thread can read at any time.
///
/// ```
/// use vgg_surgery::data::Sample;
/// use vgg_surgery::{Dataset, Image, Result};
///
/// struct Grays;
///
/// impl Dataset for Grays {
///     fn len(&self) -> usize {
///         256
///     }
///     fn sample(&self, index: usize) -> Result<Sample> {
///         let level = u8::try_from(index).unwrap_or(255);
///         let image = Image::from_rgb8(8, 8, vec![level; 192])?;
///         Ok(Sample::new(image, usize::from(level > 127)))
///     }
/// }
/// assert_eq!(Grays.len(), 256);
/// ```
pub trait Dataset: Send + Sync {
    /// Number of examples.
    fn len(&self) -> usize;

    /// The example at this index, counted from 0. It is the same each time.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`], and any error of reading the example.
    fn sample(&self, index: usize) -> Result<Sample>;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes, by index, if the targets are classes and have
    /// names.
    fn classes(&self) -> Option<&Labels> {
        None
    }

    /// The class of an example, if it is known without reading the example.
    fn class_of(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }

    /// The labels of an example, ascending, if examples may have any number of labels
    /// and these are known without reading the example.
    fn labels_of(&self, index: usize) -> Option<Vec<usize>> {
        let _ = index;
        None
    }

    /// A number that changes with the input, target or weight of the example at
    /// this index. Results are cached under this number, and not cached without
    /// one.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let _ = index;
        None
    }

    /// The examples of these indices, in this order; an index may occur twice.
    /// The subset owns the data set. To keep the whole, take a subset of a
    /// reference, `(&data).subset(..)`, or of a clone.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`].
    fn subset<'a>(self, indices: impl Into<Vec<usize>>) -> Result<Subset<'a>>
    where
        Self: Sized + 'a,
    {
        Subset::new(Arc::new(self), indices.into())
    }

    /// Splits the data set in two, chosen by the seed. The first part has this
    /// fraction of each class, the second part the rest, both in the order of
    /// the data set. Both parts have an example of every class with two or more.
    /// If examples have labels ([`Dataset::labels_of`]), the first part has about this
    /// fraction of each label, the rarest labels first (Sechidis et al. 2011), and both
    /// parts have each label if the data allow it. For other targets, the fraction is
    /// of all examples.
    ///
    /// The parts share the data set and own it. To keep the whole, split a
    /// reference, `(&data).split(..)`, or a clone.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::{Dataset, TensorDataset};
    ///
    /// let x = Tensor::zeros((10, 4), DType::F32, &Device::Cpu)?;
    /// let data = TensorDataset::new(x, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])?;
    /// let (train, validation) = data.split(0.8, 7)?;
    /// assert_eq!((train.len(), validation.len()), (8, 2));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless the fraction is between 0 and 1 and
    /// both parts have examples; the errors of [`Dataset::sample`] if examples
    /// are read for their classes.
    fn split<'a>(self, fraction: f64, seed: u64) -> Result<(Subset<'a>, Subset<'a>)>
    where
        Self: Sized + 'a,
    {
        selection::check_fraction(fraction)?;
        let (first, second) = match known_labels(&self) {
            Some(labels) => selection::split_labels(&labels, fraction, seed)?,
            None => {
                let groups = match class_members(&self)? {
                    Some(groups) => groups.into_values().collect(),
                    None => vec![(0..self.len()).collect()],
                };
                selection::split(groups, fraction, seed)?
            }
        };
        let whole: Arc<dyn Dataset + 'a> = Arc::new(self);
        Ok((
            Subset::new(Arc::clone(&whole), first)?,
            Subset::new(whole, second)?,
        ))
    }

    /// `count` examples of each class, chosen by the seed, in the order of the
    /// data set. They own the data set, as a [`subset`](Self::subset) does.
    ///
    /// If examples have labels, `count` examples or more have each label that occurs:
    /// an example that was chosen for one label counts for its others too.
    ///
    /// # Errors
    /// [`DataError::TooFewExamples`] if a class or label has fewer;
    /// [`DataError::NoClasses`] if the targets are not classes; the errors of
    /// [`Dataset::sample`] if examples are read for their classes.
    fn per_class<'a>(self, count: usize, seed: u64) -> Result<Subset<'a>>
    where
        Self: Sized + 'a,
    {
        let labels = known_labels(&self);
        let groups = match &labels {
            Some(labels) => selection::members(labels),
            None => class_members(&self)?.ok_or(DataError::NoClasses)?,
        };
        let name = |class| {
            let label = self.classes().and_then(|labels| labels.get(class));
            label.map_or_else(|| class.to_string(), |label| label.name.to_string())
        };
        let chosen = match labels {
            Some(_) => selection::per_label(groups, count, seed, name)?,
            None => selection::per_class(groups, count, seed, name)?,
        };
        Subset::new(Arc::new(self), chosen)
    }
}

macro_rules! forward_to_pointee {
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

            fn labels_of(&self, index: usize) -> Option<Vec<usize>> {
                (**self).labels_of(index)
            }

            fn fingerprint(&self, index: usize) -> Option<u64> {
                (**self).fingerprint(index)
            }
        }
    )*};
}

forward_to_pointee!(&D, Box<D>, Arc<D>);

/// Some of the examples of a data set; see [`Dataset::subset`],
/// [`Dataset::split`] and [`Dataset::per_class`].
///
/// A data set that was moved into its subset gives a `Subset<'static>`, which a
/// function can return:
///
/// ```
/// use vgg_surgery::data::{Motif, ProceduralDataset, Subset};
/// use vgg_surgery::{Dataset, Result};
///
/// fn textures() -> Result<(Subset<'static>, Subset<'static>)> {
///     ProceduralDataset::new([Motif::Bricks, Motif::Wood], 5)?.split(0.8, 7)
/// }
///
/// assert_eq!(textures()?.0.len(), 8);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
pub struct Subset<'a> {
    dataset: Arc<dyn Dataset + 'a>,
    indices: Vec<usize>,
}

impl<'a> Subset<'a> {
    fn new(dataset: Arc<dyn Dataset + 'a>, indices: Vec<usize>) -> Result<Self> {
        let len = dataset.len();
        for &index in &indices {
            check_index(index, len)?;
        }
        Ok(Self { dataset, indices })
    }

    /// The indices of the examples in the original data set.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    fn index(&self, index: usize) -> Result<usize> {
        check_index(index, self.indices.len())?;
        Ok(self.indices[index])
    }
}

impl Dataset for Subset<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.dataset.sample(self.index(index)?)
    }

    fn classes(&self) -> Option<&Labels> {
        self.dataset.classes()
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        self.dataset.class_of(*self.indices.get(index)?)
    }

    fn labels_of(&self, index: usize) -> Option<Vec<usize>> {
        self.dataset.labels_of(*self.indices.get(index)?)
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.dataset.fingerprint(*self.indices.get(index)?)
    }
}

impl fmt::Debug for Subset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Subset({} of {})",
            self.indices.len(),
            self.dataset.len()
        )
    }
}

/// The labels of each example; `None` if they are not known.
fn known_labels(dataset: &dyn Dataset) -> Option<Vec<Vec<usize>>> {
    dataset.labels_of(0)?;
    (0..dataset.len())
        .map(|index| dataset.labels_of(index))
        .collect()
}

/// The examples of each class, in order; `None` if the targets are not classes.
/// Reads an example only if its class is not known.
fn class_members(dataset: &dyn Dataset) -> Result<Option<BTreeMap<usize, Vec<usize>>>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..dataset.len() {
        let class = match dataset.class_of(index) {
            Some(class) => class,
            None => match dataset.sample(index)?.target {
                Target::Class(class) => class,
                _ => return Ok(None),
            },
        };
        groups.entry(class).or_default().push(index);
    }
    Ok(Some(groups))
}

pub(super) fn check_classes(dataset: &dyn Dataset, labels: &Labels) -> Result<()> {
    let classes = labels.len();
    for index in 0..dataset.len() {
        if let Some(class) = dataset.class_of(index)
            && class >= classes
        {
            return Err(Error::ClassOutOfRange {
                example: Some(index),
                class,
                classes,
            });
        }
    }
    Ok(())
}

pub(super) fn check_index(index: usize, len: usize) -> Result<()> {
    if index < len {
        return Ok(());
    }
    Err(Error::Data(DataError::IndexOutOfRange { index, len }))
}
