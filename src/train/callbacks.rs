//! Callbacks that come with the trainer.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use candle_core::Tensor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, TrainingError, io_error};
use crate::weights::check_writable;

use super::callback::{
    BatchEvent, Callback, CallbackState, EndEvent, EpochEvent, Flow, StartEvent,
};
use super::history::{EpochRecord, csv_line};
use super::snapshot::Snapshot;

/// One quantity of every epoch, and which way it gets better.
#[derive(Clone, Debug)]
struct Monitor {
    /// `None`: the validation loss, or without validation the loss.
    name: Option<String>,
    min_delta: f64,
}

impl Monitor {
    fn value(&self, record: &EpochRecord) -> Result<f64> {
        let Some(name) = &self.name else {
            return Ok(record.get("val_loss").unwrap_or(record.train.loss));
        };
        record
            .get(name)
            .ok_or_else(|| unknown(name, record.names()))
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

    /// Losses and errors should fall, all else should rise.
    fn is_better(&self, value: f64, best: Option<f64>) -> bool {
        let falls = self
            .name
            .as_ref()
            .is_none_or(|name| name.ends_with("loss") || name.ends_with("error"));
        match best {
            _ if value.is_nan() => false,
            None => true,
            Some(best) if falls => value < best - self.min_delta,
            Some(best) => value > best + self.min_delta,
        }
    }
}

fn unknown(name: &str, known: Vec<String>) -> Error {
    Error::Training(TrainingError::UnknownMetric {
        name: name.to_string(),
        known,
    })
}

/// What a callback of this kind saved.
fn saved_by<T: DeserializeOwned>(kind: &str, values: serde_json::Value) -> Result<T> {
    serde_json::from_value(values).map_err(|error| Error::Unsupported {
        what: "restore a callback",
        reason: format!(
            "what was saved is not that of {kind} ({error}); add the callbacks that keep \
             something in the order in which they were when it was saved"
        ),
    })
}

/// Ends training when a quantity gets no better, and puts back the weights of
/// the epoch in which it was best. Each `fit` is watched anew.
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
    waiting: Waiting,
    best: Option<Snapshot>,
    /// Whether the `fit` that begins next goes on with another.
    resumed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    best: Option<f64>,
    epochs: u64,
}

impl EarlyStopping {
    /// Ends after so many epochs in which the validation loss (without
    /// validation the loss) was no lower than before.
    pub fn new(patience: u64) -> Self {
        Self {
            monitor: Monitor {
                name: None,
                min_delta: 0.0,
            },
            patience,
            restores: true,
            waiting: Waiting::default(),
            best: None,
            resumed: false,
        }
    }

    /// Sets what to look at: `"val_accuracy"`. What ends in "loss" or "error"
    /// should fall, all else rise.
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor.name = Some(name.into());
        self
    }

    /// Sets by how much it has to get better to count.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.monitor.min_delta = min_delta;
        self
    }

    /// Leaves the weights as the last epoch made them.
    pub fn keep_last(mut self) -> Self {
        self.restores = false;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<Flow> {
        let value = self.monitor.value(event.record)?;
        if self.monitor.is_better(value, self.waiting.best) {
            self.waiting = Waiting {
                best: Some(value),
                epochs: 0,
            };
            if self.restores {
                self.best = Some(Snapshot::of(event.model)?);
            }
            return Ok(Flow::Continue);
        }
        self.waiting.epochs += 1;
        Ok(if self.waiting.epochs >= self.patience {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }

    fn on_end(&mut self, event: &EndEvent<'_>) -> Result<()> {
        if event.history.ended == super::Ended::Interrupted {
            return Ok(());
        }
        // It stays, for a checkpoint that is saved after the `fit`.
        match &self.best {
            Some(best) => best.restore(event.model),
            None => Ok(()),
        }
    }

    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.monitor.check(event.names)?;
        if !std::mem::take(&mut self.resumed) {
            self.waiting = Waiting::default();
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
        Ok(CallbackState {
            values: serde_json::to_value(&self.waiting).unwrap_or_default(),
            tensors: tensors.cloned().unwrap_or_default(),
        })
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.waiting = saved_by("EarlyStopping", state.values)?;
        let tensors: BTreeMap<String, Tensor> = state.tensors;
        self.best = (!tensors.is_empty()).then(|| Snapshot::from(tensors));
        self.resumed = true;
        Ok(())
    }
}

/// Writes a checkpoint after every epoch, or the best ones only.
#[derive(Clone, Debug)]
#[must_use]
pub struct Checkpoint {
    path: PathBuf,
    every: u64,
    monitor: Option<Monitor>,
    kept: Best,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    best: Option<f64>,
}

impl Checkpoint {
    /// To this file, whose folder is made, and which each checkpoint replaces at
    /// once: there is a whole one at any time.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: 1,
            monitor: None,
            kept: Best::default(),
        }
    }

    /// After every so many epochs.
    pub fn every(mut self, epochs: u64) -> Self {
        self.every = epochs;
        self
    }

    /// Only after epochs in which a quantity was better than ever before:
    /// `"val_loss"`.
    pub fn best(mut self, name: impl Into<String>) -> Self {
        self.monitor = Some(Monitor {
            name: Some(name.into()),
            min_delta: 0.0,
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

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<Flow> {
        let is_due = match &self.monitor {
            Some(monitor) => {
                let value = monitor.value(event.record)?;
                let better = monitor.is_better(value, self.kept.best);
                if better {
                    self.kept.best = Some(value);
                }
                better
            }
            None => event.record.epoch.is_multiple_of(self.every.max(1)),
        };
        if is_due {
            event.save_checkpoint(&self.path);
        }
        Ok(Flow::Continue)
    }

    fn state(&self) -> Result<CallbackState> {
        let kept = self.monitor.as_ref().map(|_| &self.kept);
        Ok(CallbackState {
            values: serde_json::to_value(kept).unwrap_or_default(),
            tensors: BTreeMap::new(),
        })
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.kept = saved_by("Checkpoint::best", state.values)?;
        Ok(())
    }
}

/// Ends training, without an error, when the loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNan;

impl Callback for TerminateOnNan {
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<Flow> {
        Ok(if event.loss.is_finite() {
            Flow::Continue
        } else {
            Flow::Stop
        })
    }
}

/// Adds a line to a file of comma-separated values after every epoch.
#[derive(Clone, Debug)]
pub struct CsvLog {
    path: PathBuf,
}

impl CsvLog {
    /// To this file, whose folder is made. One that is there gets more lines if
    /// training goes on after its first epoch, and is replaced if it begins.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Callback for CsvLog {
    fn on_start(&mut self, _: &StartEvent<'_>) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        // Not truncated before there is something to put there instead.
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path);
        opened.map_err(|source| io_error(&self.path, source))?;
        Ok(())
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<Flow> {
        let io = |source| io_error(&self.path, source);
        let names = event.record.names();
        let mut options = OpenOptions::new();
        let found = fs::metadata(&self.path);
        let is_blank = found.map_or(true, |found| found.is_file() && found.len() == 0);
        let is_first = event.record.epoch == 1 || is_blank;
        if is_first {
            options.write(true).create(true).truncate(true);
        } else {
            options.append(true);
        }
        let mut text = String::new();
        if is_first {
            text = format!(
                "epoch,learning_rate,seconds,from_cache,{}\n",
                names.join(",")
            );
        }
        text.push_str(&csv_line(event.record, &names));
        let mut file = options.open(&self.path).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Flow::Continue)
    }
}
