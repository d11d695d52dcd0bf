use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::data::{Augmentation, Dataset};
use crate::error::Result;
use crate::graph::Select;
use crate::model::Model;
use crate::optim::{Clip, Optimizer, OptimizerState};
use crate::preprocess::Preprocessing;

use super::cache::{FeatureCache, Kept};
use super::callback::Callback;
use super::check;
use super::checkpoint::{self, Saved};
use super::finding::Finding;
use super::fit;
use super::group::ParameterGroup;
use super::history::History;
use super::loss::Loss;
use super::metrics::{Evaluation, Metric};
use super::run::Run;
use super::schedule::Schedule;
use super::settings::Settings;

/// Trains a model: what is not frozen, at each [`fit`](Trainer::fit) anew.
///
/// Where the first layers are frozen, what they give for each example is
/// computed once and kept; see [`FeatureCache`].
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
/// Fine-tuning in stages is several calls of `fit`; what the optimiser keeps
/// for a parameter stays through freezing and unfreezing:
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
/// let mut trainer = trainer.learning_rate(1e-5);
/// trainer.fit(&train, &train)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[must_use]
pub struct Trainer<'m> {
    pub(super) model: &'m mut Model,
    pub(super) settings: Settings,
    pub(super) callbacks: Vec<Box<dyn Callback>>,
    pub(super) optimizer: OptimizerState,
    pub(super) run: Run,
    pub(super) kept: KeptFeatures,
    pub(super) resumed: Option<Saved>,
}

/// Features of the data that were trained on last.
#[derive(Default)]
pub(super) struct KeptFeatures {
    pub(super) train: Option<Kept>,
    pub(super) validation: Option<Kept>,
}

impl KeptFeatures {
    /// Whether all of them were kept by an earlier `fit`.
    pub(super) fn was_there(&self) -> bool {
        let mut validation = self.validation.iter();
        self.train.as_ref().is_some_and(Kept::was_there) && validation.all(Kept::was_there)
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
            run: Run::new(),
            kept: KeptFeatures::default(),
            resumed: None,
        }
    }

    /// Sets the optimiser; what another one has kept is forgotten.
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.settings.optimizer = optimizer.into();
        self.optimizer = OptimizerState::new(self.settings.optimizer.clone());
        self
    }

    /// Sets the learning rate, and leaves the optimiser as it is otherwise.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.settings.optimizer.set_learning_rate(learning_rate);
        self
    }

    /// Sets the loss; cross-entropy unless told.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.settings.loss = loss;
        self
    }

    /// Sets what is measured besides the loss. Unless told that is accuracy,
    /// where the output is a vector and the targets are classes or shares of
    /// them, and nothing elsewhere. `fit` refuses names that are empty, there
    /// twice, or stand for something else in a [`History`].
    pub fn metrics(mut self, metrics: impl IntoIterator<Item = Metric>) -> Self {
        self.settings.metrics = Some(metrics.into_iter().collect());
        self
    }

    /// Sets how many epochs a [`fit`](Trainer::fit) takes.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.settings.epochs = epochs;
        self
    }

    /// Sets how the learning rate moves during a `fit`.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings.schedule = schedule;
        self
    }

    /// Lets some layers learn in another way than the rest; a later group
    /// overrides an earlier one where both say something.
    ///
    /// # Errors
    /// Those of the selection.
    pub fn group(mut self, layers: impl Select, group: ParameterGroup) -> Result<Self> {
        let selection = layers.select(self.model.graph())?;
        let nodes = selection.picks.iter().map(|pick| pick.id).collect();
        self.settings.groups.push((nodes, group));
        Ok(self)
    }

    /// Multiplies a layer's learning rate with this for each layer with
    /// parameters that follows it, so that earlier layers learn more slowly
    /// (Howard and Ruder 2018, discriminative fine-tuning).
    pub fn layer_decay(mut self, factor: f64) -> Self {
        self.settings.layer_decay = factor;
        self
    }

    /// Sets a bound on gradients.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.settings.clip = clip;
        self
    }

    /// Sets the number of examples in a batch; 32 unless told.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.settings.batch_size = batch_size;
        self
    }

    /// Sets the seed of the order of the examples and of their augmentation.
    /// Dropout goes by the graph's own ([`Graph::seed`](crate::Graph::seed)).
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Sets whether examples come in another order in each epoch; they do
    /// unless told.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.settings.shuffles = shuffle;
        self
    }

    /// Sets whether examples that fill no batch at the end of an epoch are
    /// left out; they make a smaller one unless told.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.settings.drop_last = drop_last;
        self
    }

    /// Sets how many batches are made ready ahead; 2 unless told.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.settings.prefetch = batches;
        self
    }

    /// Prepares pictures in this way instead of the model's own, at the size
    /// of the network's input, where that is set.
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.settings.preprocessing = Some(preprocessing);
        self
    }

    /// Trains on variations of the pictures, other ones in each epoch;
    /// validation is on the pictures as they are.
    pub fn augment(mut self, augmentation: Augmentation) -> Self {
        self.settings.augmentation = Some(augmentation);
        self
    }

    /// Sets whether and where the output of frozen layers is kept.
    pub fn feature_cache(mut self, cache: FeatureCache) -> Self {
        self.settings.cache = cache;
        self
    }

    /// Adds a callback; they are told in the order in which they were added.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Ends training after the batch, of training, validation or a search for
    /// a rate, during which this flag is set, as a handler of Ctrl-C may do;
    /// `fit` then gives its history.
    pub fn stop_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.settings.stop_flag = Some(flag);
        self
    }

    /// Writes a checkpoint to this file where the flag of
    /// [`Trainer::stop_flag`] ends training.
    pub fn checkpoint_on_stop(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.checkpoint_on_stop = Some(path.into());
        self
    }

    /// Goes on from a checkpoint: the next `fit` runs the epochs that are left
    /// of the one that was saved, and ends where that would have, bit for bit,
    /// if model, data and settings are the same. None are left of one that was
    /// whole or that a callback had stopped, whatever callbacks there are now;
    /// the `fit` after that trains on.
    ///
    /// Until that `fit` has begun, [`Trainer::evaluate`],
    /// [`Trainer::find_learning_rate`], [`Trainer::history`] and
    /// [`Trainer::save_checkpoint`] know nothing of the checkpoint. Where `fit`
    /// refuses it, or anything else before its first batch, another `fit` goes
    /// on from it all the same.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io),
    /// [`TrainingError::Checkpoint`](crate::TrainingError::Checkpoint) if the
    /// file is none; `fit` gives the latter if it is of another training.
    pub fn resume(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.resumed = Some(Saved::read(path.as_ref())?);
        Ok(self)
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        self.model
    }

    /// Freezes layers from the next `fit` on.
    ///
    /// # Errors
    /// Those of the selection.
    pub fn freeze(&mut self, layers: impl Select) -> Result<()> {
        self.model.freeze(layers)
    }

    /// Lets the next `fit` train layers.
    ///
    /// # Errors
    /// Those of the selection.
    pub fn unfreeze(&mut self, layers: impl Select) -> Result<()> {
        self.model.unfreeze(layers)
    }

    /// Trains, and measures on the validation data after each epoch. Names of
    /// classes that the training data bring become the model's labels, and the
    /// history goes with the model ([`History::of`]).
    ///
    /// # Errors
    /// [`TrainingError`](crate::TrainingError), those of the data and of
    /// [`Model::forward`], of callbacks, and of writing checkpoints. The model
    /// keeps what it has learnt until then, or what callbacks put back, and the
    /// trainer its [`history`](Trainer::history).
    pub fn fit(&mut self, train: &dyn Dataset, validation: &dyn Dataset) -> Result<History> {
        fit::fit(self, train, Some(validation))
    }

    /// As [`Trainer::fit`], without validation.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn fit_without_validation(&mut self, train: &dyn Dataset) -> Result<History> {
        fit::fit(self, train, None)
    }

    /// All epochs so far.
    pub fn history(&self) -> History {
        self.run.history()
    }

    /// Loss and metrics on a data set.
    ///
    /// # Errors
    /// Those of the data and of [`Model::forward`], and those of the loss.
    pub fn evaluate(&self, data: &dyn Dataset) -> Result<Evaluation> {
        fit::evaluate(self, data)
    }

    /// What will go wrong, or probably will, if this is trained on: best
    /// called before `fit`. Loss and metrics, one's own too, are tried on the
    /// target of the first example and an output of zeros, unless the size of
    /// the network's output depends on its input.
    ///
    /// # Errors
    /// Those of reading the data's first example.
    pub fn check(&self, train: &dyn Dataset) -> Result<Vec<Finding>> {
        check::check(self, train)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); a checkpoint that was there before is
    /// then left whole.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let parts = checkpoint::Parts {
            model: self.model,
            run: &self.run,
            optimizer: &self.optimizer,
            callbacks: &self.callbacks,
        };
        checkpoint::save(path.as_ref(), &parts)
    }
}
