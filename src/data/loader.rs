use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use candle_core::Device;
use rayon::prelude::*;

use crate::error::{DataError, Error, Result};
use crate::model::Model;
use crate::preprocess::Preprocessing;
use crate::random::shuffle;
use crate::threads;

use super::augment::{Augmentation, mix};
use super::batch::{Batch, collate};
use super::dataset::Dataset;
use super::random::{Purpose, stream};
use super::sample::{Sample, SampleInput, Target};

/// Loads the batches of a data set, epoch by epoch.
///
/// A batch depends on seed and epoch only, not on the number of threads.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::data::Loader;
/// use vgg_surgery::TensorDataset;
///
/// let x = Tensor::zeros((10, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let data = TensorDataset::new(x, vec![0; 10])?;
/// let loader = Loader::new(&data).batch_size(4).shuffle(7);
/// let sizes: Vec<usize> = loader.epoch(0).map(|batch| Ok(batch?.len())).collect::<vgg_surgery::Result<_>>()?;
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Loader<'a> {
    dataset: &'a dyn Dataset,
    preprocessing: Option<Preprocessing>,
    device: Device,
    batch_size: usize,
    seed: u64,
    shuffled: bool,
    drop_last: bool,
    prefetch: usize,
    augmentation: Option<Augmentation>,
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("examples", &self.dataset.len())
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}

impl<'a> Loader<'a> {
    /// Batches of 32, in the data set's order, on the CPU; images need a
    /// [`preprocessing`](Self::preprocessing).
    pub fn new(dataset: &'a dyn Dataset) -> Self {
        Self {
            dataset,
            preprocessing: None,
            device: Device::Cpu,
            batch_size: 32,
            seed: 0,
            shuffled: false,
            drop_last: false,
            prefetch: 2,
            augmentation: None,
        }
    }

    /// As [`Loader::new`], with the preprocessing, input size and device of a
    /// model.
    pub fn for_model(dataset: &'a dyn Dataset, model: &Model) -> Self {
        Self {
            preprocessing: model.graph().input_preprocessing().ok(),
            device: model.device().clone(),
            ..Self::new(dataset)
        }
    }

    /// Sets the preprocessing that turns images into tensors.
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// Sets the device of the batches.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Sets the batch size, at least 1; 32 by default.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Shuffles in each epoch, with this seed.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffled = true;
        self.seed(seed)
    }

    /// Sets the seed of all random choices; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Augments images in each epoch, with the loader's seed.
    pub fn augment(mut self, augmentation: Augmentation) -> Self {
        self.augmentation = Some(augmentation);
        self
    }

    /// Drops an incomplete batch at the end of an epoch. It is kept by default.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// Sets how many batches [`Loader::ahead`] prepares in advance, at most; 2
    /// by default.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &'a dyn Dataset {
        self.dataset
    }

    /// Number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.dataset.len().checked_div(self.batch_size) {
            None => 0,
            Some(whole) if self.drop_last => whole,
            Some(_) => self.dataset.len().div_ceil(self.batch_size),
        }
    }

    /// The indices of all examples, in the order of an epoch.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.shuffled {
            shuffle(&mut order, &mut stream(Purpose::Order, self.seed, epoch, 0));
        }
        order
    }

    /// The batches of an epoch. A batch is loaded when the iterator reaches it,
    /// with its examples in parallel. [`Loader::ahead`] loads in advance.
    ///
    /// An error ends the epoch: [`DataError::Empty`],
    /// [`Error::InvalidSetting`], [`DataError::Shapes`],
    /// [`DataError::MixedTargets`], [`DataError::NonFinite`], [`DataError::Panicked`],
    /// [`Error::ClassOutOfRange`], or an error of the data set or
    /// [`Preprocessing::apply_batch`].
    pub fn epoch(&self, epoch: u64) -> Epoch<'_> {
        Epoch {
            loader: self,
            order: self.order(epoch),
            epoch,
            next: 0,
            failed: false,
        }
    }

    /// Calls `consume` with the batches of an epoch, which other threads load
    /// in advance. At most [`prefetch`](Self::prefetch) batches wait in memory.
    /// [`Loader::epoch`] returns the same batches.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::data::Loader;
    /// use vgg_surgery::TensorDataset;
    ///
    /// let x = Tensor::zeros((10, 3, 8, 8), DType::F32, &Device::Cpu)?;
    /// let data = TensorDataset::new(x, vec![0; 10])?;
    /// let loader = Loader::new(&data).batch_size(4);
    /// let examples = loader.ahead(0, |batches| -> vgg_surgery::Result<usize> {
    ///     let mut examples = 0;
    ///     for batch in batches {
    ///         examples += batch?.len();
    ///     }
    ///     Ok(examples)
    /// })?;
    /// assert_eq!(examples, 10);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn ahead<T>(&self, epoch: u64, consume: impl FnOnce(&mut Batches) -> T) -> T {
        // The producer holds one batch besides those in the channel.
        let (sender, receiver) = sync_channel(self.prefetch.min(self.batches()).saturating_sub(1));
        thread::scope(|scope| {
            let producer = move || {
                let produce = || {
                    for batch in self.epoch(epoch) {
                        if sender.send(batch).is_err() {
                            break;
                        }
                    }
                };
                // In a separate pool: the network's threads must not start to
                // decode images while other threads wait for them.
                match rayon::ThreadPoolBuilder::new().build() {
                    Ok(pool) => pool.install(produce),
                    Err(_) => produce(),
                }
            };
            let started = thread::Builder::new().spawn_scoped(scope, producer);
            // Dropping the receiver stops a producer that waits.
            consume(&mut match started {
                Ok(_) => Batches(receiver),
                Err(reason) => Batches::failed(threads::refused(reason)),
            })
        })
    }

    /// A batch of these examples, augmented as in the epoch. `mixup` depends on
    /// the whole batch.
    ///
    /// # Errors
    /// As [`Loader::epoch`].
    pub fn batch(&self, epoch: u64, indices: &[usize]) -> Result<Batch> {
        self.check()?;
        self.checked_batch(epoch, indices)
    }

    fn checked_batch(&self, epoch: u64, indices: &[usize]) -> Result<Batch> {
        let classes = self.dataset.classes().map(|labels| labels.len());
        let prepare = |&index: &usize| -> Result<Sample> {
            let sample = sample(self.dataset, index)?;
            sample.check(index, classes)?;
            self.check_target(index, &sample.target)?;
            self.fitted(epoch, index, sample)
        };
        // Collecting all results first returns the first example's error.
        let samples: Vec<Result<Sample>> = indices.par_iter().map(prepare).collect();
        let samples = samples.into_iter().collect::<Result<_>>()?;
        let preprocessing = self.preprocessing.as_ref();
        let batch = collate(samples, indices, preprocessing, &self.device)?;
        let mixing = self
            .augmentation
            .as_ref()
            .and_then(|augmentation| augmentation.mixup);
        match (mixing, indices) {
            (Some(alpha), &[first, ..]) => {
                let mut rng = stream(Purpose::Mixing, self.seed, epoch, first as u64);
                mix(batch, alpha, classes, &mut rng)
            }
            _ => Ok(batch),
        }
    }

    /// Refuses to move an image whose target would not move, and to mix classes
    /// of pixels.
    fn check_target(&self, index: usize, target: &Target) -> Result<()> {
        let Some(augmentation) = &self.augmentation else {
            return Ok(());
        };
        let reason = match target {
            Target::Values(map) if map.rank() > 1 && augmentation.moves() => {
                "moves the image but not its target, which is a map; make the target a Mask, or \
                 leave out crops, flips, rotation, shift and zoom"
            }
            Target::Mask(mask)
                if mask.highest_class().is_some() && augmentation.mixup.is_some() =>
            {
                "mixes classes of pixels, of which each has one; leave out mixup()"
            }
            _ => return Ok(()),
        };
        let setting = format!("an augmentation of example {index}");
        Err(Error::setting(setting, reason))
    }

    /// An example, augmented and at the network's size.
    fn fitted(&self, epoch: u64, index: usize, sample: Sample) -> Result<Sample> {
        let augmentation = self.augmentation.clone().unwrap_or_default();
        match (&sample.input, &self.preprocessing) {
            (SampleInput::Image(image), Some(preprocessing)) => {
                let rng = || stream(Purpose::Augmentation, self.seed, epoch, index as u64);
                let changed = augmentation.apply_with(image, preprocessing, &mut rng())?;
                let target = match sample.target {
                    Target::Mask(mask) => augmentation
                        .apply_to_mask(&mask, preprocessing, &mut rng())?
                        .into(),
                    target => target,
                };
                Ok(Sample::new(changed, target).with_weight(sample.weight))
            }
            (SampleInput::Tensor(_), _) if augmentation.changes_images() => Err(Error::setting(
                format!("an augmentation of example {index}"),
                "needs an image, but the input is a tensor; only mixup() works on both",
            )),
            _ => Ok(sample),
        }
    }

    fn check(&self) -> Result<()> {
        threads::start()?;
        if self.dataset.is_empty() {
            return Err(Error::Data(DataError::Empty));
        }
        if self.batch_size == 0 {
            return Err(Error::setting(
                "a batch size of 0",
                "makes empty batches; use at least 1",
            ));
        }
        match &self.augmentation {
            Some(augmentation) => augmentation.check(),
            None => Ok(()),
        }
    }
}

/// The example, or the message of a panic: from another thread than the caller's it
/// would be lost.
fn sample(dataset: &dyn Dataset, index: usize) -> Result<Sample> {
    let caught = catch_unwind(AssertUnwindSafe(|| dataset.sample(index)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or(panic.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("without a message").to_string();
        Err(Error::Data(DataError::Panicked { index, message }))
    })
}

/// The batches of one epoch; see [`Loader::epoch`].
#[derive(Debug)]
pub struct Epoch<'a> {
    loader: &'a Loader<'a>,
    order: Vec<usize>,
    epoch: u64,
    next: usize,
    failed: bool,
}

impl Epoch<'_> {
    fn range(&self) -> Option<Range<usize>> {
        let start = self.next.checked_mul(self.loader.batch_size)?;
        let end = start.saturating_add(self.loader.batch_size);
        (self.next < self.loader.batches()).then(|| start..end.min(self.order.len()))
    }
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.loader.check().and_then(|()| {
            let range = self.range();
            range
                .map(|range| self.loader.checked_batch(self.epoch, &self.order[range]))
                .transpose()
        });
        self.next += 1;
        self.failed = batch.is_err();
        batch.transpose()
    }
}

/// The batches of one epoch, loaded in advance; see [`Loader::ahead`].
#[derive(Debug)]
pub struct Batches(Receiver<Result<Batch>>);

impl Batches {
    fn failed(error: Error) -> Self {
        let (sender, receiver) = sync_channel(1);
        // There is room for it.
        let _ = sender.send(Err(error));
        Self(receiver)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.recv().ok()
    }
}
