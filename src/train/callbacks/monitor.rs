use serde::de::DeserializeOwned;

use crate::error::{Error, Result, TrainingError};
use crate::train::history::EpochRecord;

/// A quantity that every epoch reports, and when it counts as better.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// `None`: the validation loss, or without validation the loss.
    pub(super) name: Option<String>,
    pub(super) min_delta: f64,
}

impl Monitor {
    pub(super) fn new(name: Option<String>) -> Self {
        Self {
            name,
            min_delta: 0.0,
        }
    }

    pub(super) fn value(&self, record: &EpochRecord) -> Result<f64> {
        let Some(name) = &self.name else {
            return Ok(record.get("val_loss").unwrap_or(record.train.loss));
        };
        record
            .get(name)
            .ok_or_else(|| unknown(name, record.names()))
    }

    /// Refuses a quantity that no epoch will report.
    pub(super) fn check(&self, names: &[String]) -> Result<()> {
        match &self.name {
            Some(name) if name != "learning_rate" && !names.contains(name) => {
                Err(unknown(name, names.to_vec()))
            }
            _ => Ok(()),
        }
    }

    /// Losses and errors should fall, everything else should rise.
    pub(super) fn is_better(&self, value: f64, best: Option<f64>) -> bool {
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

/// Reads the saved state of a kind of callback.
pub(super) fn saved_by<T: DeserializeOwned>(kind: &str, values: serde_json::Value) -> Result<T> {
    serde_json::from_value(values).map_err(|error| Error::Unsupported {
        what: "restore a callback",
        reason: format!(
            "the saved state is not that of {kind} ({error}); add the callbacks that have a \
             state in the order in which they were when it was saved"
        ),
    })
}
