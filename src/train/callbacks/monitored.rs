//! Callbacks that act on the value of one quantity.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, TrainingError};
use crate::files::check_writable;
use crate::train::history::{EpochRecord, StopReason, should_fall};
use crate::train::snapshot::Snapshot;

use super::callback::{
    BatchEvent, Callback, CallbackState, ControlFlow, EndEvent, EpochEvent, StartEvent,
};

/// A quantity that every epoch reports, and its best value so far.
#[derive(Clone, Debug, Default)]
struct Monitor {
    /// `None`: the validation loss, or without validation the loss.
    name: Option<String>,
    min_delta: f64,
    best: Option<f64>,
}

impl Monitor {
    /// Whether the epoch's value is better than all before. If so, it is kept.
    fn improves(&mut self, record: &EpochRecord) -> Result<bool> {
        let value = match &self.name {
            Some(name) => record
                .get(name)
                .ok_or_else(|| unknown(name, record.names()))?,
            None => record.get("val_loss").unwrap_or(record.train.loss),
        };
        let is_better = self.is_better(value);
        if is_better {
            self.best = Some(value);
        }
        Ok(is_better)
    }

    /// Losses and errors should fall, everything else should rise.
    fn is_better(&self, value: f64) -> bool {
        let falls = self.name.as_ref().is_none_or(|name| should_fall(name));
        match self.best {
            _ if value.is_nan() => false,
            None => true,
            Some(best) if falls => value < best - self.min_delta,
            Some(best) => value > best + self.min_delta,
        }
    }

    /// Refuses a quantity that no epoch will report.
    fn check(&self, names: &[String]) -> Result<()> {
        match &self.name {
            Some(name) if name != "learning_rate" && !names.contains(name) => {
                Err(unknown(name, names.to_vec()))
            }
            _ => Ok(()),
        }
    }
}

fn unknown(name: &str, known: Vec<String>) -> Error {
    Error::Training(TrainingError::UnknownMetric {
        name: name.to_string(),
        known,
    })
}

fn saved_by<T: DeserializeOwned>(kind: &str, values: serde_json::Value) -> Result<T> {
    serde_json::from_value(values).map_err(|error| Error::Unsupported {
        what: "restore a callback",
        reason: format!(
            "the saved state is not that of {kind} ({error}); add the callbacks that have a \
             state in the order in which they were when it was saved"
        ),
    })
}

/// Stops training when a quantity no longer improves, and restores the weights
/// of the best epoch. Each `fit` starts over.
///
/// ```
/// use vgg_surgery::EarlyStopping;
///
/// let callback = EarlyStopping::new(5).monitor("val_accuracy").min_delta(0.001);
/// ```
#[derive(Debug)]
#[must_use]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: u64,
    restores: bool,
    /// Epochs since the best one.
    waited: u64,
    best: Option<Snapshot>,
    /// 0 in a checkpoint that did not keep it.
    best_epoch: u64,
    /// Whether the next `fit` resumes another.
    resumed: bool,
}

/// The state of an [`EarlyStopping`] in a checkpoint, without its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    best: Option<f64>,
    epochs: u64,
    #[serde(default)]
    best_epoch: u64,
}

impl EarlyStopping {
    /// Stops after this many epochs in which the validation loss (without
    /// validation the loss) was no lower than before.
    pub fn new(patience: u64) -> Self {
        Self {
            monitor: Monitor::default(),
            patience,
            restores: true,
            waited: 0,
            best: None,
            best_epoch: 0,
            resumed: false,
        }
    }

    /// Sets the quantity to watch: `"val_accuracy"`. A quantity whose name ends
    /// in "loss" or "error" should fall, any other should rise.
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = Some(name.into());
        self
    }

    /// Sets the least change that counts as better.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.monitor.min_delta = min_delta;
        self
    }

    /// Keeps the weights of the last epoch instead of the best ones.
    pub fn keep_last(mut self) -> Self {
        self.restores = false;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        if self.monitor.improves(event.record)? {
            self.waited = 0;
            if self.restores {
                self.best = Some(Snapshot::of(event.model)?);
                self.best_epoch = event.record.epoch;
            }
            return Ok(ControlFlow::Continue);
        }
        // A checkpoint may hold any number.
        self.waited = self.waited.saturating_add(1);
        Ok(if self.waited >= self.patience {
            ControlFlow::Stop
        } else {
            ControlFlow::Continue
        })
    }

    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        if event.history.ended == StopReason::Interrupted {
            return Ok(());
        }
        // A checkpoint that is saved after the `fit` needs the snapshot.
        if let Some(best) = &self.best {
            best.restore(event.model)?;
            if self.best_epoch > 0 {
                event.restored(self.best_epoch);
            }
        }
        Ok(())
    }

    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.monitor.check(event.names)?;
        if !std::mem::take(&mut self.resumed) {
            self.monitor.best = None;
            self.waited = 0;
            self.best = None;
        }
        if let Some(best) = &self.best
            && !best.fits(event.model)
        {
            self.best = None;
        }
        Ok(())
    }

    fn state(&self) -> Result<CallbackState> {
        let tensors = self.best.as_ref().map(Snapshot::tensors);
        let waiting = Waiting {
            best: self.monitor.best,
            epochs: self.waited,
            best_epoch: self.best_epoch,
        };
        Ok(CallbackState {
            values: serde_json::to_value(waiting).unwrap_or_default(),
            tensors: tensors.cloned().unwrap_or_default(),
        })
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let waiting: Waiting = saved_by("EarlyStopping", state.values)?;
        self.monitor.best = waiting.best;
        self.waited = waiting.epochs;
        self.best_epoch = waiting.best_epoch;
        self.best = (!state.tensors.is_empty()).then(|| Snapshot::from(state.tensors));
        self.resumed = true;
        Ok(())
    }
}

/// Writes a checkpoint after every epoch, or only after the best ones.
#[derive(Clone, Debug)]
#[must_use]
pub struct Checkpoint {
    path: PathBuf,
    every: u64,
    monitor: Option<Monitor>,
}

/// The state of a [`Checkpoint`] in a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    best: Option<f64>,
}

impl Checkpoint {
    /// Writes to this file, and creates its folder. Each checkpoint replaces the
    /// file atomically, so the file is always complete.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: 1,
            monitor: None,
        }
    }

    /// Writes only after every `epochs` epochs.
    pub fn every(mut self, epochs: u64) -> Self {
        self.every = epochs;
        self
    }

    /// Writes only after epochs in which this quantity, `"val_loss"` for example,
    /// was better than ever before.
    pub fn best(mut self, name: impl Into<String>) -> Self {
        self.monitor = Some(Monitor {
            name: Some(name.into()),
            ..Monitor::default()
        });
        self
    }
}

impl Callback for Checkpoint {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        if let Some(monitor) = &self.monitor {
            monitor.check(event.names)?;
        }
        check_writable(&self.path)
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let is_due = match &mut self.monitor {
            Some(monitor) => monitor.improves(event.record)?,
            None => event.record.epoch.is_multiple_of(self.every.max(1)),
        };
        if is_due {
            event.save_checkpoint(&self.path);
        }
        Ok(ControlFlow::Continue)
    }

    fn state(&self) -> Result<CallbackState> {
        let best = self.monitor.as_ref().map(|own| Best { best: own.best });
        Ok(CallbackState {
            values: serde_json::to_value(best).unwrap_or_default(),
            ..CallbackState::default()
        })
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let Best { best } = saved_by("Checkpoint::best", state.values)?;
        if let Some(monitor) = &mut self.monitor {
            monitor.best = best;
        }
        Ok(())
    }
}

/// Stops training, without an error, when the loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNan;

impl Callback for TerminateOnNan {
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        Ok(if event.loss.is_finite() {
            ControlFlow::Continue
        } else {
            ControlFlow::Stop
        })
    }
}
