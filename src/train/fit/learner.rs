use std::path::{Path, PathBuf};

use crate::error::{Error, Result, TrainingError};
use crate::model::Model;
use crate::optim::{OptimizerState, non_negative};
use crate::train::callbacks::{
    BatchEvent, Callback, ControlFlow, EndEvent, EpochEvent, StartEvent,
};
use crate::train::checkpoint::{self, Parts};
use crate::train::checks;
use crate::train::history::{EpochRecord, Progress, StopReason};
use crate::train::metrics::{Evaluation, Tally};
use crate::train::settings::ResolvedSettings;
use crate::train::snapshot::Snapshot;

use super::parameters::TrainedParameters;
use super::training_model::{TrainingBatch, TrainingModel};

/// Takes steps, keeps track of them, and calls the callbacks.
pub(super) struct Learner<'a> {
    pub(super) settings: &'a ResolvedSettings<'a>,
    pub(super) parameters: &'a TrainedParameters,
    pub(super) optimizer: &'a mut OptimizerState,
    pub(super) progress: &'a mut Progress,
    pub(super) callbacks: &'a mut [Box<dyn Callback>],
    /// Batches in an epoch.
    pub(super) batches: usize,
    /// Number of finished epochs at the end.
    pub(super) end: u64,
    /// Number of findings that callbacks were given.
    pub(super) reported: usize,
}

impl Learner<'_> {
    pub(super) fn start(&mut self, model: &Model, validates: bool) -> Result<()> {
        let nothing = Tally::default().evaluation(&self.settings.metrics);
        let mut names = nothing.names("");
        if validates {
            names.extend(nothing.names("val_"));
        }
        let event = StartEvent {
            model,
            epoch: self.progress.epoch,
            epochs: self.end,
            batches: self.batches,
            names: &names,
        };
        for index in 0..self.callbacks.len() {
            if let Err(error) = self.callbacks[index].on_start(&event) {
                self.progress.ended = StopReason::Failed;
                let _ = self.call_on_end(model, index);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn goes_on(&self) -> bool {
        self.progress.epoch < self.end && self.progress.ended == StopReason::Completed
    }

    /// The schedule's factor on all learning rates.
    fn factor(&self, batch: usize) -> f64 {
        let batches = self.batches as u64;
        let done = (self.progress.epoch - self.progress.start).saturating_mul(batches);
        let step = done.saturating_add(batch as u64);
        let total = (self.end - self.progress.start).saturating_mul(batches);
        let schedule = &self.settings.requested.schedule;
        schedule.factor(step, batches, total) * self.progress.plateau.factor()
    }

    pub(super) fn step(
        &mut self,
        model: &TrainingModel<'_>,
        examples: &TrainingBatch,
    ) -> Result<ControlFlow> {
        let settings = self.settings;
        let factor = self.factor(self.progress.batch);
        let (epoch, batch) = (self.progress.epoch + 1, self.progress.batch + 1);
        let what = format!("in batch {batch} of epoch {epoch} a schedule's factor");
        non_negative(&what, factor)?;
        let statistics = Snapshot::of_statistics(model.model())?;
        let scores = model.scores(examples, true)?;
        let loss = model.loss(examples, &scores)?;
        model.count(examples, &scores, &loss, &mut self.progress.tally)?;
        if (self.progress.epoch, self.progress.batch) == (self.progress.start, 0) {
            self.progress.baseline = Some(model.baseline(examples, &scores, &loss)?);
        }
        let failure = if loss.value.is_finite() {
            let parameters = self.parameters;
            match parameters.descend(&loss.tensor, self.optimizer, factor) {
                Err(Error::Training(error)) if error.is_of_a_step() => {
                    Some(error.placed(epoch, batch))
                }
                other => {
                    other?;
                    None
                }
            }
        } else {
            let loss = loss.value;
            Some(TrainingError::NonFiniteLoss { loss, epoch, batch })
        };
        if failure.is_some() {
            statistics.restore(model.model())?;
        }
        self.progress.batch = batch;
        let event = BatchEvent {
            model: model.model(),
            epoch,
            batch,
            batches: self.batches,
            loss: loss.value,
            mean_loss: self.progress.tally.mean_loss(),
            learning_rate: settings.requested.optimizer.learning_rate() * factor,
            tally: &self.progress.tally,
            metrics: &settings.metrics,
        };
        match (stopped_by(self.callbacks, &event)?, failure) {
            (Some(by), _) => {
                self.progress.ended = StopReason::Stopped { by };
                Ok(ControlFlow::Stop)
            }
            (None, Some(failure)) => Err(failure.into()),
            (None, None) => Ok(ControlFlow::Continue),
        }
    }

    pub(super) fn finish_epoch(
        &mut self,
        model: &Model,
        validation: Option<Evaluation>,
        from_cache: bool,
    ) -> Result<()> {
        let factor = self.factor(self.progress.batch.saturating_sub(1));
        let learning_rate = self.settings.requested.optimizer.learning_rate() * factor;
        let record = EpochRecord {
            epoch: self.progress.epoch + 1,
            train: self.progress.tally.evaluation(&self.settings.metrics),
            validation,
            learning_rate,
            seconds: self.progress.seconds,
            from_cache,
        };
        let watched = record.get("val_loss").unwrap_or(record.train.loss);
        let schedule = &self.settings.requested.schedule;
        self.progress.plateau.observe(schedule, watched);
        self.progress.epoch += 1;
        self.progress.abandon_epoch();
        self.progress.epochs.push(record.clone());
        self.progress.note_divergence();
        let mut checkpoints: Vec<PathBuf> = Vec::new();
        let mut stopped_by = None;
        let findings = &self.progress.findings[self.reported..];
        for callback in self.callbacks.iter_mut() {
            let mut event = EpochEvent {
                model,
                record: &record,
                findings,
                checkpoints: &mut checkpoints,
            };
            if callback.on_epoch(&mut event)? == ControlFlow::Stop {
                stopped_by.get_or_insert_with(|| callback.name());
            }
        }
        self.reported = self.progress.findings.len();
        if let Some(by) = stopped_by {
            self.progress.ended = StopReason::Stopped { by };
        }
        for path in &checkpoints {
            self.save(model, path)?;
        }
        Ok(())
    }

    fn save(&self, model: &Model, path: &Path) -> Result<()> {
        let parts = Parts {
            model,
            progress: self.progress,
            optimizer: self.optimizer,
            callbacks: self.callbacks,
        };
        checkpoint::save(path, &parts)
    }

    /// Ends with an error. Errors of callbacks are ignored.
    pub(super) fn fail(&mut self, model: &Model) {
        self.progress.ended = StopReason::Failed;
        let _ = self.call_on_end(model, self.callbacks.len());
    }

    pub(super) fn finish(&mut self, model: &Model) -> Result<()> {
        let saved = match &self.settings.requested.checkpoint_on_stop {
            Some(path) if self.progress.ended == StopReason::Interrupted => self.save(model, path),
            _ => Ok(()),
        };
        let loss = &self.settings.requested.loss;
        checks::look_back(self.progress, loss, model.graph());
        // If the checkpoint could not be saved, another file may be tried.
        let ended = self.call_on_end(model, self.callbacks.len());
        saved.and(ended)
    }

    /// Calls `on_end` of the first `count` callbacks; returns the first error.
    fn call_on_end(&mut self, model: &Model, count: usize) -> Result<()> {
        let history = self.progress.history();
        let mut event = EndEvent {
            model,
            history: &history,
            findings: &history.findings[self.reported..],
            restored_epoch: None,
            reports: Vec::new(),
        };
        let mut outcome = Ok(());
        for callback in self.callbacks.iter_mut().take(count) {
            outcome = outcome.and(callback.on_end(&mut event));
        }
        let EndEvent {
            restored_epoch,
            reports,
            ..
        } = event;
        self.progress.restored_epoch = restored_epoch;
        let history = self.progress.history();
        reports.into_iter().for_each(|report| report(&history));
        outcome
    }
}

/// The name of the first callback that stops the training after this batch.
fn stopped_by(
    callbacks: &mut [Box<dyn Callback>],
    event: &BatchEvent<'_>,
) -> Result<Option<String>> {
    let mut stopped_by = None;
    for callback in callbacks {
        if callback.on_batch(event)? == ControlFlow::Stop {
            stopped_by.get_or_insert_with(|| callback.name());
        }
    }
    Ok(stopped_by)
}
