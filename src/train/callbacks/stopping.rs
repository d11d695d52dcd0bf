use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::train::history::StopReason;
use crate::train::snapshot::Snapshot;

use super::callback::{Callback, CallbackState, ControlFlow};
use super::events::{BatchEvent, EndEvent, EpochEvent, StartEvent};
use super::monitor::{Monitor, saved_by};

/// Stops training when a quantity gets no better, and restores the weights of
/// the epoch in which it was best. Each `fit` starts over.
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
    /// Whether the next `fit` resumes another.
    resumed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    best: Option<f64>,
    epochs: u64,
}

impl EarlyStopping {
    /// Stops after this many epochs in which the validation loss (without
    /// validation the loss) was no lower than before.
    pub fn new(patience: u64) -> Self {
        Self {
            monitor: Monitor::new(None),
            patience,
            restores: true,
            waiting: Waiting::default(),
            best: None,
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

    /// Keeps the weights of the last epoch.
    pub fn keep_last(mut self) -> Self {
        self.restores = false;
        self
    }
}

impl Callback for EarlyStopping {
    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let value = self.monitor.value(event.record)?;
        if self.monitor.is_better(value, self.waiting.best) {
            self.waiting = Waiting {
                best: Some(value),
                epochs: 0,
            };
            if self.restores {
                self.best = Some(Snapshot::of(event.model)?);
            }
            return Ok(ControlFlow::Continue);
        }
        self.waiting.epochs += 1;
        Ok(if self.waiting.epochs >= self.patience {
            ControlFlow::Stop
        } else {
            ControlFlow::Continue
        })
    }

    fn on_end(&mut self, event: &EndEvent<'_>) -> Result<()> {
        if event.history.ended == StopReason::Interrupted {
            return Ok(());
        }
        // The snapshot stays, for a checkpoint that is saved after the `fit`.
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
        self.best = (!state.tensors.is_empty()).then(|| Snapshot::from(state.tensors));
        self.resumed = true;
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
