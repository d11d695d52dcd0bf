//! Steps, and what is told of them.

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Result, TrainingError};
use crate::model::Model;
use crate::ops;
use crate::optim::{OptimizerState, Update, is_finite, non_negative};

use super::callback::{BatchEvent, Callback, EndEvent, EpochEvent, Flow, StartEvent};
use super::check;
use super::checkpoint::{self, Parts};
use super::group::Trained;
use super::history::{Ended, EpochRecord};
use super::loss::Loss;
use super::metrics::{Evaluation, Scores, Tally};
use super::net::{Net, Ready};
use super::run::Run;
use super::settings::Settings;
use super::snapshot::Snapshot;

/// What takes steps.
pub(super) struct Learner<'a> {
    pub(super) settings: &'a Settings,
    pub(super) trained: Vec<Trained>,
    pub(super) optimizer: &'a mut OptimizerState,
    pub(super) run: &'a mut Run,
    pub(super) callbacks: &'a mut [Box<dyn Callback>],
    /// Batches in an epoch.
    pub(super) batches: usize,
    /// Epochs that will be over in the end.
    pub(super) end: u64,
}

pub(super) fn scores_of<'a>(tensor: &'a Tensor, targets: &'a Targets, loss: &Loss) -> Scores<'a> {
    Scores {
        tensor,
        targets,
        yes: if loss.has_logits() { 0.0 } else { 0.5 },
    }
}

/// Changes parameters by the gradients of a loss, unless one of them is not
/// finite: gives the name of its parameter then.
pub(super) fn descend(
    loss: &Tensor,
    trained: &[Trained],
    optimizer: &mut OptimizerState,
    (settings, factor): (&Settings, f64),
) -> Result<Option<String>> {
    let mut gradients = ops::backward(loss)?;
    let mut found = Vec::with_capacity(trained.len());
    for trained in trained {
        if let Some(gradient) = gradients.take(&trained.variable)? {
            if !is_finite(&gradient)? {
                return Ok(Some(trained.name.clone()));
            }
            found.push((trained, gradient));
        }
    }
    let updates: Vec<Update<'_>> = found
        .iter()
        .map(|(trained, gradient)| Update {
            name: &trained.name,
            variable: &trained.variable,
            gradient,
            learning_rate: trained.rate * factor,
            decay: trained.decay,
        })
        .collect();
    optimizer.step(&updates, settings.clip)?;
    Ok(None)
}

impl Learner<'_> {
    pub(super) fn start(&mut self, model: &Model, validates: bool) -> Result<()> {
        let nothing = Tally::default().finish(self.settings.metrics());
        let names = EpochRecord {
            epoch: 0,
            validation: validates.then(|| nothing.clone()),
            train: nothing,
            learning_rate: 0.0,
            seconds: 0.0,
            from_cache: false,
        }
        .names();
        let event = StartEvent {
            model,
            epoch: self.run.epoch,
            epochs: self.end,
            batches: self.batches,
            names: &names,
        };
        for place in 0..self.callbacks.len() {
            if let Err(error) = self.callbacks[place].on_start(&event) {
                self.run.ended = Ended::Failed;
                let _ = self.tell_of_end(model, place);
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn goes_on(&self) -> bool {
        self.run.epoch < self.end && self.run.ended == Ended::Completed
    }

    /// The factor of the schedule on all learning rates, at a batch of this
    /// epoch.
    fn factor(&self, batch: usize) -> f64 {
        let batches = self.batches as u64;
        let done = (self.run.epoch - self.run.start).saturating_mul(batches);
        let step = done.saturating_add(batch as u64);
        let total = (self.end - self.run.start).saturating_mul(batches);
        self.settings.schedule.factor(step, batches, total) * self.run.plateau.factor()
    }

    pub(super) fn step(&mut self, net: &Net<'_>, batch: &Ready) -> Result<Flow> {
        let settings = self.settings;
        let factor = self.factor(self.run.batch);
        let (epoch, number) = (self.run.epoch + 1, self.run.batch + 1);
        let what = format!("in batch {number} of epoch {epoch} a schedule's factor");
        non_negative(&what, factor)?;
        let statistics = Snapshot::of_statistics(net.model())?;
        let scores = net.scores(batch, true)?;
        let weights = batch.weights.as_ref();
        let loss = settings.loss.grade(&scores, &batch.targets, weights);
        let loss = loss.map_err(|error| batch.locate(error))?;
        let told = scores_of(&scores, &batch.targets, &settings.loss);
        let counted = self.run.tally.count(settings.metrics(), loss.value, &told);
        counted.map_err(|error| batch.locate(error))?;
        let mut steep = None;
        if loss.value.is_finite() {
            let way = (settings, factor);
            steep = descend(&loss.tensor, &self.trained, self.optimizer, way)?;
        }
        let failure = Self::failure(self.run, loss.value, steep);
        if failure.is_some() {
            statistics.restore(net.model())?;
        }
        self.run.batch += 1;
        let event = BatchEvent {
            model: net.model(),
            epoch: self.run.epoch + 1,
            batch: self.run.batch,
            batches: self.batches,
            loss: loss.value,
            mean_loss: self.run.tally.mean_loss(),
            learning_rate: settings.optimizer.learning_rate() * factor,
            tally: &self.run.tally,
            metrics: settings.metrics(),
        };
        let mut flow = Flow::Continue;
        for callback in self.callbacks.iter_mut() {
            if callback.on_batch(&event)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        match failure {
            Some(failure) if flow == Flow::Continue => Err(failure.into()),
            _ => Ok(flow),
        }
    }

    /// Why the batch that comes next takes no step, if it takes none.
    fn failure(run: &Run, loss: f64, steep: Option<String>) -> Option<TrainingError> {
        let (epoch, batch) = (run.epoch + 1, run.batch + 1);
        match steep {
            _ if !loss.is_finite() => Some(TrainingError::NonFiniteLoss { loss, epoch, batch }),
            Some(parameter) => Some(TrainingError::NonFiniteGradient {
                parameter,
                epoch,
                batch,
            }),
            None => None,
        }
    }

    /// Takes note of an epoch that is over, and tells of it.
    pub(super) fn finish_epoch(
        &mut self,
        model: &Model,
        validation: Option<Evaluation>,
        from_cache: bool,
    ) -> Result<()> {
        let factor = self.factor(self.run.batch.saturating_sub(1));
        let learning_rate = self.settings.optimizer.learning_rate() * factor;
        let record = EpochRecord {
            epoch: self.run.epoch + 1,
            train: self.run.tally.finish(self.settings.metrics()),
            validation,
            learning_rate,
            seconds: self.run.seconds,
            from_cache,
        };
        let watched = record.get("val_loss").unwrap_or(record.train.loss);
        self.run.plateau.observe(&self.settings.schedule, watched);
        self.run.epoch += 1;
        self.run.abandon_epoch();
        self.run.epochs.push(record.clone());
        let mut checkpoints: Vec<PathBuf> = Vec::new();
        for callback in self.callbacks.iter_mut() {
            let mut event = EpochEvent {
                model,
                record: &record,
                checkpoints: &mut checkpoints,
            };
            if callback.on_epoch(&mut event)? == Flow::Stop {
                self.run.ended = Ended::Stopped;
            }
        }
        for path in &checkpoints {
            self.save(model, path)?;
        }
        Ok(())
    }

    fn save(&self, model: &Model, path: &Path) -> Result<()> {
        let parts = Parts {
            model,
            run: self.run,
            optimizer: self.optimizer,
            callbacks: self.callbacks,
        };
        checkpoint::save(path, &parts)
    }

    /// Tells of an end by an error, which those of callbacks don't replace.
    pub(super) fn fail(&mut self, model: &Model) {
        self.run.ended = Ended::Failed;
        let _ = self.tell_of_end(model, self.callbacks.len());
    }

    pub(super) fn finish(&mut self, model: &Model) -> Result<()> {
        let saved = match &self.settings.checkpoint_on_stop {
            Some(path) if self.run.ended == Ended::Interrupted => self.save(model, path),
            _ => Ok(()),
        };
        check::look_back(self.run, self.settings, model.graph());
        // Still interrupted if it was not saved: it may be to another file.
        let told = self.tell_of_end(model, self.callbacks.len());
        saved.and(told)
    }

    /// Tells the first callbacks, so many of them, and gives the first error.
    fn tell_of_end(&mut self, model: &Model, count: usize) -> Result<()> {
        let history = self.run.history();
        let event = EndEvent {
            model,
            history: &history,
        };
        let mut outcome = Ok(());
        for callback in self.callbacks.iter_mut().take(count) {
            outcome = outcome.and(callback.on_end(&event));
        }
        outcome
    }
}
