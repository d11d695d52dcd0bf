use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::Tensor;

use crate::error::Result;
use crate::model::Model;

use super::history::{EpochRecord, History};
use super::metrics::{Evaluation, Metric, Tally};

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It ends here, with what was learnt so far.
    Stop,
}

/// What is told of a training while it runs, and can end it.
///
/// ```
/// use vgg_surgery::{Callback, EpochEvent, Flow, Result};
///
/// /// Ends when validation says 90 %.
/// struct GoodEnough;
///
/// impl Callback for GoodEnough {
///     fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<Flow> {
///         let accuracy = event.record.get("val_accuracy").unwrap_or(0.0);
///         Ok(if accuracy >= 0.9 { Flow::Stop } else { Flow::Continue })
///     }
/// }
/// ```
///
/// Errors end the training and are given back by `fit`; those of another type
/// are wrapped by [`TrainingError::User`](crate::TrainingError::User).
pub trait Callback: Send {
    /// A `fit` begins.
    ///
    /// # Errors
    /// Whatever should keep it from beginning.
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// A batch is over. Where its loss or a gradient is not finite, the weights
    /// were left alone, and training ends with an error unless this stops it.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<Flow> {
        let _ = event;
        Ok(Flow::Continue)
    }

    /// An epoch is over, validation included.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<Flow> {
        let _ = event;
        Ok(Flow::Continue)
    }

    /// The `fit` is over, after its last epoch, because it was stopped, or by
    /// an error after it had begun. Told to all that were told of the
    /// beginning without an error.
    ///
    /// # Errors
    /// Whatever `fit` should give back instead of its history; of several the
    /// first, and an error that ended the `fit` before them all.
    fn on_end(&mut self, event: &EndEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// What has to be saved for the training to be resumed. `null` without
    /// tensors means that this keeps nothing, ever: one that has seen no epoch
    /// yet gives another value, so that what was saved finds its place.
    ///
    /// # Errors
    /// Whatever keeps it from being saved.
    fn state(&self) -> Result<CallbackState> {
        Ok(CallbackState::default())
    }

    /// Takes over what [`Callback::state`] gave, when a `fit` that resumes
    /// begins.
    ///
    /// # Errors
    /// Whatever keeps it from being taken over.
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// What a callback keeps in a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct CallbackState {
    /// Anything but tensors.
    pub values: serde_json::Value,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// A `fit` begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// Epochs that are over already.
    pub epoch: u64,
    /// Epochs that will be over in the end.
    pub epochs: u64,
    /// Batches in an epoch.
    pub batches: usize,
    /// What every epoch will report, as [`EpochRecord::names`] gives it.
    pub names: &'a [String],
}

/// A batch is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The batch, from 1.
    pub batch: usize,
    /// Batches in an epoch.
    pub batches: usize,
    /// The batch's mean loss.
    pub loss: f64,
    /// The mean loss of the epoch so far.
    pub mean_loss: f64,
    /// The learning rate, before groups and decay by layer.
    pub learning_rate: f64,
    pub(super) tally: &'a Tally,
    pub(super) metrics: &'a [Metric],
}

impl BatchEvent<'_> {
    /// Loss and metrics of the epoch so far.
    pub fn so_far(&self) -> Evaluation {
        self.tally.finish(self.metrics)
    }
}

/// An epoch is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct EpochEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// What the epoch was like.
    pub record: &'a EpochRecord,
    pub(super) checkpoints: &'a mut Vec<PathBuf>,
}

impl EpochEvent<'_> {
    /// Has a checkpoint written to this path once all callbacks were told of
    /// the epoch; `Trainer::resume` goes on from it.
    pub fn save_checkpoint(&mut self, path: impl Into<PathBuf>) {
        self.checkpoints.push(path.into());
    }
}

/// A `fit` is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct EndEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// All epochs.
    pub history: &'a History,
}
