use std::path::PathBuf;

use crate::model::Model;
use crate::train::history::{EpochRecord, History};
use crate::train::metrics::{Evaluation, Metric, Tally};

/// A `fit` begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// Number of finished epochs.
    pub epoch: u64,
    /// Number of finished epochs at the end.
    pub epochs: u64,
    /// Batches in an epoch.
    pub batches: usize,
    /// What every epoch will report, as in [`EpochRecord::names`].
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
    pub(in crate::train) tally: &'a Tally,
    pub(in crate::train) metrics: &'a [Metric],
}

impl BatchEvent<'_> {
    /// Loss and metrics of the epoch so far.
    pub fn so_far(&self) -> Evaluation {
        self.tally.evaluation(self.metrics)
    }
}

/// An epoch is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct EpochEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// What the epoch reports.
    pub record: &'a EpochRecord,
    pub(in crate::train) checkpoints: &'a mut Vec<PathBuf>,
}

impl EpochEvent<'_> {
    /// Writes a checkpoint to this path after all callbacks got this event.
    /// `Trainer::resume` continues from it.
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
