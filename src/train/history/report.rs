use std::fmt;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::files::write_atomically;
use crate::graph::in_bytes;
use crate::model::Model;
use crate::train::metrics::{Evaluation, null_as_nan};

use super::finding::Finding;

const SERIALIZABLE: &str = "everything in a history can be written as JSON";

/// The results of a training, epoch by epoch. Prints as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The epochs, of all calls of `fit` of this trainer.
    pub epochs: Vec<EpochRecord>,
    /// How the last call ended.
    #[serde(deserialize_with = "with_or_without_name")]
    pub ended: StopReason,
    /// The epoch whose weights a callback restored at the end of the last call,
    /// as [`EarlyStopping`](crate::EarlyStopping) does.
    #[serde(default)]
    pub restored_epoch: Option<u64>,
    /// Possible problems that the user should look at.
    pub findings: Vec<Finding>,
    /// How much of the frozen layers' output was cached, if any.
    pub cache: Option<CacheReport>,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Loss and metrics on the training data, measured during training.
    pub train: Evaluation,
    /// Loss and metrics on the validation data after the epoch.
    pub validation: Option<Evaluation>,
    /// The learning rate at the end, before groups and decay by layer.
    #[serde(deserialize_with = "null_as_nan")]
    pub learning_rate: f64,
    /// Seconds it took, validation included.
    #[serde(deserialize_with = "null_as_nan")]
    pub seconds: f64,
    /// Whether the output of all frozen layers was cached in an earlier epoch.
    pub from_cache: bool,
}

impl EpochRecord {
    /// The value of `"loss"`, `"learning_rate"` or a metric. Names of values on
    /// the validation data begin with `val_`: `"val_loss"`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name.strip_prefix("val_") {
            Some(name) => self.validation.as_ref()?.get(name),
            None if name == "learning_rate" => Some(self.learning_rate),
            None => self.train.get(name),
        }
    }

    /// The names that [`EpochRecord::get`] knows, except `"learning_rate"`.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.train.names("");
        if let Some(validation) = &self.validation {
            names.extend(validation.names("val_"));
        }
        names
    }
}

pub(in crate::train) fn should_fall(name: &str) -> bool {
    name.ends_with("loss") || name.ends_with("error")
}

/// How a call of `fit` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs ran.
    Completed,
    /// A callback stopped it.
    Stopped {
        /// The [name](crate::train::Callback::name) of the first callback that did.
        by: String,
    },
    /// The flag given to `stop_flag` was set.
    Interrupted,
    /// It failed with an error.
    Failed,
}

/// Earlier versions wrote `"stopped"` without the callback's name.
pub(super) fn with_or_without_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<StopReason, D::Error> {
    let written = Value::deserialize(deserializer)?;
    if written == "stopped" {
        let by = "a callback".to_string();
        return Ok(StopReason::Stopped { by });
    }
    StopReason::deserialize(written).map_err(D::Error::custom)
}

/// How much of the frozen layers' output was cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheReport {
    /// The layer whose output was cached.
    pub layer: String,
    /// Examples whose output was cached; each view counts.
    pub examples: usize,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in a file.
    pub file_bytes: u64,
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the output of \"{}\" was cached for {} examples: {} in memory, {} in a file",
            self.layer,
            self.examples,
            in_bytes(self.memory_bytes),
            in_bytes(self.file_bytes)
        )
    }
}

/// A table with a line for each epoch, followed by the findings.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        write!(f, "{:>5} {:>10} {:>8}", "epoch", "rate", "seconds")?;
        for name in &names {
            write!(f, " {name:>12}")?;
        }
        for epoch in &self.epochs {
            let (number, rate, seconds) = (epoch.epoch, epoch.learning_rate, epoch.seconds);
            write!(f, "\n{number:>5} {rate:>10.3e} {seconds:>8.2}")?;
            for name in &names {
                let width = name.len().max(12);
                match epoch.get(name) {
                    Some(value) => write!(f, " {value:>width$.4}")?,
                    None => write!(f, " {:>width$}", "-")?,
                }
            }
        }
        if let Some(outcome) = self.outcome() {
            write!(f, "\n{outcome}")?;
        }
        if let Some(cache) = &self.cache {
            write!(f, "\n{cache}")?;
        }
        for finding in &self.findings {
            write!(f, "\n{}", finding.as_line())?;
        }
        Ok(())
    }
}

impl History {
    /// The name of the note that holds a trained model's history.
    pub const NOTE: &str = "history";

    /// The history of the last training of this model. It is saved in the model's
    /// file.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use vgg_surgery::model::LoadOptions;
    /// # use vgg_surgery::{Dense, Head, History, Model, TensorDataset, Trainer, Vgg16};
    /// # let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?
    /// #     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2).softmax()))?;
    /// # let mut model = graph.build(&Device::Cpu)?;
    /// # let train = TensorDataset::new(Tensor::rand(0f32, 1f32, (4, 3, 16, 16), &Device::Cpu)?, [0, 1, 0, 1])?;
    /// assert!(History::of(&model).is_none());
    /// let history = Trainer::new(&mut model).fit(&train, &train)?;
    /// let again = Model::from_bytes(model.to_bytes()?, &Device::Cpu, &LoadOptions::new())?;
    /// assert_eq!(History::of(&again), Some(history));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn of(model: &Model) -> Option<Self> {
        let note = model.graph().note(Self::NOTE)?;
        Self::deserialize(note).ok()
    }

    pub(in crate::train) fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).expect(SERIALIZABLE)
    }

    /// What ended the last call before its time and whose weights were restored,
    /// in words: "stopped by EarlyStopping after epoch 7; the weights are from
    /// epoch 4".
    pub(in crate::train) fn outcome(&self) -> Option<String> {
        let ended = match &self.ended {
            StopReason::Completed => None,
            StopReason::Stopped { by } => Some(format!("stopped by {by}")),
            StopReason::Interrupted => Some("interrupted".to_string()),
            StopReason::Failed => Some("ended by an error".to_string()),
        };
        let place = match self.epochs.last() {
            Some(last) => format!("after epoch {}", last.epoch),
            None => "in epoch 1".to_string(),
        };
        let ended = ended.map(|ended| format!("{ended} {place}"));
        let restored = self.restored_epoch;
        let restored = restored.map(|epoch| format!("the weights are from epoch {epoch}"));
        let parts: Vec<String> = ended.into_iter().chain(restored).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The last epoch, if there was one.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The epoch with the best value of a quantity: the lowest if its name ends
    /// in "loss" or "error", else the highest. `None` if no epoch has it.
    pub fn best_epoch(&self, name: &str) -> Option<&EpochRecord> {
        let sign = if should_fall(name) { -1.0 } else { 1.0 };
        let values = self.epochs.iter().filter_map(|epoch| {
            let value = epoch.get(name).filter(|value| !value.is_nan())?;
            Some((sign * value, epoch))
        });
        let better = |best: (f64, _), other: (f64, _)| if other.0 > best.0 { other } else { best };
        values.reduce(better).map(|(_, epoch)| epoch)
    }

    /// The values of one quantity, epoch by epoch: `"loss"`, `"val_accuracy"`.
    /// Epochs without it are left out.
    pub fn curve(&self, name: &str) -> Vec<f64> {
        let values = self.epochs.iter().filter_map(|epoch| epoch.get(name));
        values.collect()
    }

    pub(in crate::train) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.epochs.iter().flat_map(EpochRecord::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// All epochs as comma-separated values with a header line. A value that an
    /// epoch does not have is empty.
    pub fn to_csv(&self) -> String {
        let names = self.names();
        let mut csv = csv_header(&names);
        for epoch in &self.epochs {
            csv.push_str(&csv_line(epoch, &names));
        }
        csv
    }

    /// Everything as JSON; numbers that are not finite become `null`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect(SERIALIZABLE)
    }

    /// Writes [`History::to_csv`] to a file, whose folder is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path.as_ref(), self.to_csv().as_bytes())
    }

    /// Writes [`History::to_json`] to a file, whose folder is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path.as_ref(), self.to_json().as_bytes())
    }
}

pub(in crate::train) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |out| out.write(bytes))
}

pub(in crate::train) fn csv_header(names: &[String]) -> String {
    let names = names.join(",");
    format!("epoch,learning_rate,seconds,from_cache,{names}\n")
}

/// A line of values, empty where the epoch has none.
pub(in crate::train) fn csv_line(record: &EpochRecord, names: &[String]) -> String {
    let (rate, seconds) = (record.learning_rate, record.seconds);
    let mut line = format!("{},{rate},{seconds:.3},{}", record.epoch, record.from_cache);
    for name in names {
        line.push(',');
        if let Some(value) = record.get(name) {
            line.push_str(&value.to_string());
        }
    }
    line.push('\n');
    line
}
