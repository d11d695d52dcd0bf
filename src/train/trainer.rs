use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::data::Augmentation;
use crate::error::Result;
use crate::graph::Select;
use crate::model::Model;
use crate::optim::{Clip, Optimizer, OptimizerState};
use crate::preprocess::Preprocessing;

use super::cache::{FeatureCache, FeatureCaches};
use super::callbacks::Callback;
use super::checkpoint::{self, SavedTraining};
use super::history::{History, Progress};
use super::loss::Loss;
use super::metrics::Metric;
use super::settings::{ParameterGroup, Schedule, Settings};

/// Trains the layers of a model that are not frozen when
/// [`fit`](Trainer::fit) is called.
///
/// If the first layers are frozen, their output for each example is computed
/// once and kept; see [`FeatureCache`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::{Dense, Head, RmsProp, TensorDataset, Trainer, Vgg16};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?
///     .truncate("block1_pool")?
///     .freeze_all()
///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2).softmax()))?;
/// let mut model = graph.build(&Device::Cpu)?;
/// let x = Tensor::rand(0f32, 1f32, (8, 3, 16, 16), &Device::Cpu)?;
/// let train = TensorDataset::new(x, [0, 1, 0, 1, 0, 1, 0, 1])?;
///
/// let history = Trainer::new(&mut model)
///     .optimizer(RmsProp::new(1e-3))
///     .batch_size(4)
///     .epochs(2)
///     .fit(&train, &train)?;
/// println!("{history}");
/// assert_eq!(history.curve("val_accuracy").len(), 2);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// For fine-tuning in stages call `fit` several times, and change the settings in
/// between with the methods that begin with `set_`. The optimizer's state of a
/// parameter stays through freezing and unfreezing:
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use vgg_surgery::{Dense, Head, RmsProp, TensorDataset, Trainer, Vgg16};
/// # let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?.freeze_all()
/// #     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2).softmax()))?;
/// # let mut model = graph.build(&Device::Cpu)?;
/// # let train = TensorDataset::new(Tensor::rand(0f32, 1f32, (4, 3, 16, 16), &Device::Cpu)?, [0, 1, 0, 1])?;
/// let mut trainer = Trainer::new(&mut model);
/// trainer.fit(&train, &train)?;
/// trainer.unfreeze("block1_conv2")?;
/// trainer.set_learning_rate(1e-5);
/// trainer.fit(&train, &train)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[must_use]
pub struct Trainer<'m> {
    pub(super) model: &'m mut Model,
    pub(super) settings: Settings,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) optimizer: OptimizerState,
    pub(super) progress: Progress,
    pub(super) features: FeatureCaches,
    pub(super) resumed: Option<SavedTraining>,
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("model", &self.model.graph().name())
            .field("callbacks", &self.callbacks.len())
            .finish_non_exhaustive()
    }
}

impl<'m> Trainer<'m> {
    /// A trainer with Keras' RMSprop, cross-entropy, accuracy, one epoch,
    /// batches of 32, shuffled by seed 0.
    pub fn new(model: &'m mut Model) -> Self {
        let settings = Settings::default();
        Self {
            model,
            optimizer: OptimizerState::new(settings.optimizer.clone()),
            settings,
            callbacks: Vec::new(),
            progress: Progress::new(),
            features: FeatureCaches::default(),
            resumed: None,
        }
    }

    /// Sets the optimizer; see [`Trainer::set_optimizer`].
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.set_optimizer(optimizer);
        self
    }

    /// Sets the learning rate; see [`Trainer::set_learning_rate`].
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.set_learning_rate(learning_rate);
        self
    }

    /// Sets the loss; cross-entropy by default.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.settings.loss = loss;
        self
    }

    /// Sets the metrics. By default, accuracy is measured if the output is a
    /// vector and the targets are classes or probabilities, and nothing otherwise.
    /// `fit` refuses names that are empty, used twice, or have another meaning in
    /// a [`History`].
    pub fn metrics(mut self, metrics: impl IntoIterator<Item = Metric>) -> Self {
        self.settings.metrics = Some(metrics.into_iter().collect());
        self
    }

    /// Sets the probability above which metrics take a single output as class 1,
    /// and one of several labels as predicted; 0.5 by default.
    pub fn threshold(mut self, probability: f64) -> Self {
        self.settings.threshold = probability;
        self
    }

    /// Sets the number of epochs; see [`Trainer::set_epochs`].
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.set_epochs(epochs);
        self
    }

    /// Sets the schedule; see [`Trainer::set_schedule`].
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.set_schedule(schedule);
        self
    }

    /// Trains some layers with other settings. If several groups contain a layer,
    /// later groups override earlier ones.
    ///
    /// # Errors
    /// Errors of the selection.
    pub fn group(mut self, layers: impl Select, group: ParameterGroup) -> Result<Self> {
        let selection = layers.select(self.model.graph())?;
        let nodes = selection.picks.iter().map(|pick| pick.id).collect();
        self.settings.groups.push((nodes, group));
        Ok(self)
    }

    /// Multiplies a layer's learning rate by this for each later layer with
    /// parameters. Earlier layers then learn more slowly (Howard and Ruder 2018,
    /// discriminative fine-tuning).
    pub fn layer_decay(mut self, factor: f64) -> Self {
        self.settings.layer_decay = factor;
        self
    }

    /// Sets a bound on gradients.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.settings.clip = clip;
        self
    }

    /// Sets the number of examples in a batch; 32 by default.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.settings.batch_size = batch_size;
        self
    }

    /// Sets the seed of the order of the examples and of their augmentation.
    /// Dropout uses the graph's seed ([`Graph::seed`](crate::Graph::seed)).
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Sets whether examples are shuffled again in each epoch; they are by
    /// default.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.settings.shuffles = shuffle;
        self
    }

    /// Sets whether the last batch of an epoch is left out if it is not full; by
    /// default it is a smaller batch.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.settings.drop_last = drop_last;
        self
    }

    /// Sets how many batches are prepared ahead; 2 by default.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.settings.prefetch = batches;
        self
    }

    /// Sets the preprocessing of images, by default that of the model. Images are
    /// resized to the network's input, if its size is set.
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.settings.preprocessing = Some(preprocessing);
        self
    }

    /// Trains on variations of the images, different ones in each epoch.
    /// Validation uses the images themselves.
    pub fn augment(mut self, augmentation: Augmentation) -> Self {
        self.settings.augmentation = Some(augmentation);
        self
    }

    /// Sets whether and where the output of frozen layers is kept.
    pub fn feature_cache(mut self, cache: FeatureCache) -> Self {
        self.settings.cache = cache;
        self
    }

    /// Adds a callback. Callbacks are called in the order in which they were
    /// added.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Ends training after the current batch once this flag is set, for example
    /// by a Ctrl-C handler. Validation and [`Trainer::find_learning_rate`] end in
    /// the same way. `fit` then returns its history.
    pub fn stop_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.settings.stop_flag = Some(flag);
        self
    }

    /// Writes a checkpoint to this file if the flag of [`Trainer::stop_flag`]
    /// ends training.
    pub fn checkpoint_on_stop(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.checkpoint_on_stop = Some(path.into());
        self
    }

    /// Continues from a checkpoint: the next `fit` runs the remaining epochs of
    /// the one that was saved. If model, data and settings are the same, the
    /// result is that of an uninterrupted training, bit for bit. If all epochs had
    /// run, or a callback had stopped the training, this `fit` runs no epochs,
    /// whatever the callbacks are now. The `fit` after it trains further.
    ///
    /// Until that `fit` has begun, the checkpoint does not affect
    /// [`Trainer::evaluate`], [`Trainer::find_learning_rate`],
    /// [`Trainer::history`] and [`Trainer::save_checkpoint`]. If `fit` refuses
    /// the checkpoint, or anything else before its first batch, another `fit`
    /// still continues from it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and
    /// [`TrainingError::Checkpoint`](crate::error::TrainingError::Checkpoint) if the
    /// file is not a checkpoint. `fit` returns the latter if the checkpoint is
    /// of another training.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.resumed = Some(SavedTraining::read(path.as_ref())?);
        Ok(self)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// Sets the optimizer of the next `fit` and drops the state of the previous
    /// one. [`Trainer::set_learning_rate`] keeps the state. During construction,
    /// use [`Trainer::optimizer`].
    pub fn set_optimizer(&mut self, optimizer: impl Into<Optimizer>) {
        self.settings.optimizer = optimizer.into();
        self.optimizer = OptimizerState::new(self.settings.optimizer.clone());
    }

    /// Sets the optimizer's learning rate from the next `fit` on. During
    /// construction, use [`Trainer::learning_rate`].
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.optimizer.set_learning_rate(learning_rate);
    }

    /// Sets how many epochs the next [`fit`](Trainer::fit) takes. During
    /// construction, use [`Trainer::epochs`].
    pub fn set_epochs(&mut self, epochs: u64) {
        self.settings.epochs = epochs;
    }

    /// Sets how the learning rate changes during the next `fit`. During
    /// construction, use [`Trainer::schedule`].
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.settings.schedule = schedule;
    }

    /// Freezes layers from the next `fit` on.
    ///
    /// # Errors
    /// Errors of the selection.
    pub fn freeze(&mut self, layers: impl Select) -> Result<()> {
        self.model.freeze(layers)
    }

    /// Unfreezes layers from the next `fit` on.
    ///
    /// # Errors
    /// Errors of the selection.
    pub fn unfreeze(&mut self, layers: impl Select) -> Result<()> {
        self.model.unfreeze(layers)
    }

    /// All epochs so far.
    pub fn history(&self) -> History {
        self.progress.history()
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); an earlier checkpoint then stays whole.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let parts = checkpoint::Parts {
            model: self.model,
            progress: &self.progress,
            optimizer: &self.optimizer,
            callbacks: &self.callbacks,
        };
        checkpoint::save(path.as_ref(), &parts)
    }
}
