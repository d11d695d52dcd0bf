//! Steps, and what is told of them.

use std::path::{Path, PathBuf};

use candle_core::Tensor;

use crate::error::{Result, TrainingError};
use crate::model::Model;
use crate::ops;
use crate::optim::{OptimizerState, Update};

use super::callback::{BatchEvent, Callback, EndEvent, EpochEvent, Flow, StartEvent};
use super::check;
use super::checkpoint::{self, Parts};
use super::group::Trained;
use super::history::{Ended, EpochRecord};
use super::loss::Loss;
use super::metrics::{Evaluation, Scores};
use super::net::{Net, Ready};
use super::run::Run;
use super::settings::Settings;

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

pub(super) fn scores_of<'a>(tensor: &'a Tensor, batch: &'a Ready, loss: &Loss) -> Scores<'a> {
    Scores {
        tensor,
        targets: &batch.targets,
        yes: if loss.has_logits() { 0.0 } else { 0.5 },
    }
}

/// Changes parameters by the gradients of a loss.
pub(super) fn descend(
    loss: &Tensor,
    trained: &[Trained],
    optimizer: &mut OptimizerState,
    (settings, factor): (&Settings, f64),
) -> Result<()> {
    let mut gradients = ops::backward(loss)?;
    let mut found = Vec::with_capacity(trained.len());
    for trained in trained {
        if let Some(gradient) = gradients.take(&trained.variable)? {
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
    optimizer.step(&updates, settings.clip)
}

impl Learner<'_> {
    pub(super) fn start(&mut self, model: &Model) -> Result<()> {
        let event = StartEvent {
            model,
            epoch: self.run.epoch,
            epochs: self.end,
            batches: self.batches,
        };
        for callback in self.callbacks.iter_mut() {
            callback.on_start(&event)?;
        }
        self.run.ended = Ended::Completed;
        Ok(())
    }

    pub(super) fn goes_on(&self) -> bool {
        self.run.epoch < self.end && self.run.ended == Ended::Completed
    }

    /// The factor of the schedule on all learning rates, at a batch of this
    /// epoch.
    fn factor(&self, batch: usize) -> f64 {
        let batches = self.batches as u64;
        let step = (self.run.epoch - self.run.start) * batches + batch as u64;
        let total = (self.end - self.run.start) * batches;
        self.settings.schedule.factor(step, batches, total) * self.run.plateau.factor()
    }

    pub(super) fn step(&mut self, net: &Net<'_>, batch: &Ready) -> Result<Flow> {
        let settings = self.settings;
        let factor = self.factor(self.run.batch);
        let scores = net.scores(batch, true)?;
        let weights = batch.weights.as_ref();
        let loss = settings.loss.grade(&scores, &batch.targets, weights)?;
        let told = scores_of(&scores, batch, &settings.loss);
        self.run.tally.count(&settings.metrics, loss.value, &told)?;
        let is_finite = loss.value.is_finite();
        if is_finite {
            descend(
                &loss.tensor,
                &self.trained,
                self.optimizer,
                (settings, factor),
            )?;
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
            metrics: &settings.metrics,
        };
        let mut flow = Flow::Continue;
        for callback in self.callbacks.iter_mut() {
            if callback.on_batch(&event)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        if !is_finite && flow == Flow::Continue {
            return Err(TrainingError::NonFiniteLoss {
                loss: event.loss,
                epoch: event.epoch,
                batch: event.batch,
            }
            .into());
        }
        Ok(flow)
    }

    /// Takes note of an epoch that is over, and tells of it.
    pub(super) fn finish_epoch(
        &mut self,
        model: &Model,
        validation: Option<Evaluation>,
        from_cache: bool,
    ) -> Result<Ended> {
        let factor = self.factor(self.run.batch.saturating_sub(1));
        let learning_rate = self.settings.optimizer.learning_rate() * factor;
        let record = EpochRecord {
            epoch: self.run.epoch + 1,
            train: self.run.tally.finish(&self.settings.metrics),
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
        let mut ended = Ended::Completed;
        for callback in self.callbacks.iter_mut() {
            let mut event = EpochEvent {
                model,
                record: &record,
                checkpoints: &mut checkpoints,
            };
            if callback.on_epoch(&mut event)? == Flow::Stop {
                ended = Ended::Stopped;
            }
        }
        for path in &checkpoints {
            self.save(model, path)?;
        }
        Ok(ended)
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

    pub(super) fn finish(&mut self, model: &Model) -> Result<()> {
        if self.run.ended == Ended::Interrupted
            && let Some(path) = &self.settings.checkpoint_on_stop
        {
            self.save(model, path)?;
        }
        check::look_back(self.run, self.settings, model.graph());
        let history = self.run.history();
        let event = EndEvent {
            model,
            history: &history,
        };
        for callback in self.callbacks.iter_mut() {
            callback.on_end(&event)?;
        }
        Ok(())
    }
}
