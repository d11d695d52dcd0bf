use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::weights::check_writable;

use super::callback::{Callback, CallbackState, ControlFlow};
use super::events::{EpochEvent, StartEvent};
use super::monitor::{Monitor, saved_by};

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
    /// To this file, whose folder is made. Each checkpoint replaces the file at
    /// once, so there is always a whole one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every: 1,
            monitor: None,
            kept: Best::default(),
        }
    }

    /// Only after every `epochs` epochs.
    pub fn every(mut self, epochs: u64) -> Self {
        self.every = epochs;
        self
    }

    /// Only after epochs in which a quantity was better than ever before:
    /// `"val_loss"`.
    pub fn best(mut self, name: impl Into<String>) -> Self {
        self.monitor = Some(Monitor::new(Some(name.into())));
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
        Ok(ControlFlow::Continue)
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
