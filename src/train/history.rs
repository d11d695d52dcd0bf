use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Model;

use super::finding::Finding;
use super::metrics::{Evaluation, Measured};

const SAYABLE: &str = "a history holds nothing that JSON can't say";

/// What a training was like, epoch by epoch. Prints as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The epochs, of all calls of `fit` of this trainer.
    pub epochs: Vec<EpochRecord>,
    /// How the last call ended.
    pub ended: Ended,
    /// What a user should look at.
    pub findings: Vec<Finding>,
    /// What was kept of the frozen layers, if anything.
    pub cache: Option<CacheReport>,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Loss and metrics on the training data, as they were while it was
    /// trained on.
    pub train: Evaluation,
    /// Loss and metrics on the validation data afterwards.
    pub validation: Option<Evaluation>,
    /// The learning rate at the end, before groups and decay by layer.
    #[serde(with = "super::number")]
    pub learning_rate: f64,
    /// Seconds it took, validation included.
    #[serde(with = "super::number")]
    pub seconds: f64,
    /// Whether all it took of the frozen layers was kept from before.
    pub from_cache: bool,
}

/// How a call of `fit` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// After its epochs.
    Completed,
    /// A callback ended it.
    Stopped,
    /// The flag given to `stop_flag` was set.
    Interrupted,
    /// By an error.
    Failed,
}

/// What was kept of the frozen layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheReport {
    /// The layer whose output was kept.
    pub layer: String,
    /// Examples whose output was kept, each view of them counted.
    pub examples: usize,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in a file.
    pub file_bytes: u64,
}

impl EpochRecord {
    /// The value of `"loss"`, `"learning_rate"`, a metric, or one of these on
    /// the validation data as `"val_loss"`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name.strip_prefix("val_") {
            Some(name) => self.validation.as_ref()?.get(name),
            None if name == "learning_rate" => Some(self.learning_rate),
            None => self.train.get(name),
        }
    }

    /// The names that [`EpochRecord::get`] knows, but for the learning rate.
    pub fn names(&self) -> Vec<String> {
        let of = |evaluation: &Evaluation, prefix: &str| -> Vec<String> {
            let metrics = evaluation
                .metrics
                .iter()
                .map(|Measured { name, .. }| name.as_str());
            let names = std::iter::once("loss").chain(metrics);
            names.map(|name| format!("{prefix}{name}")).collect()
        };
        let mut names = of(&self.train, "");
        if let Some(validation) = &self.validation {
            names.extend(of(validation, "val_"));
        }
        names
    }
}

impl History {
    /// The note that a trained model carries its history under.
    pub const NOTE: &str = "history";

    /// The history of the trainer that this model learnt from last, which
    /// travels with it into its file and out of it.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use vgg_surgery::{Dense, Head, History, LoadOptions, Model, TensorDataset, Trainer, Vgg16};
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

    pub(super) fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).expect(SAYABLE)
    }

    /// The last epoch, if there was one.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The values of one quantity, epoch by epoch: `"loss"`, `"val_accuracy"`.
    /// Epochs that don't know it are left out.
    pub fn curve(&self, name: &str) -> Vec<f64> {
        let values = self.epochs.iter().filter_map(|epoch| epoch.get(name));
        values.collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.epochs.iter().flat_map(EpochRecord::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// All epochs as comma-separated values with a heading; what an epoch
    /// doesn't know is left empty.
    pub fn to_csv(&self) -> String {
        let names = self.names();
        let mut csv = format!(
            "epoch,learning_rate,seconds,from_cache,{}\n",
            names.join(",")
        );
        for epoch in &self.epochs {
            csv.push_str(&csv_line(epoch, &names));
        }
        csv
    }

    /// All of it as JSON; numbers that are not finite become `null`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect(SAYABLE)
    }

    /// Writes [`History::to_csv`] to a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), self.to_csv().as_bytes())
    }

    /// Writes [`History::to_json`] to a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), self.to_json().as_bytes())
    }
}

pub(super) fn csv_line(epoch: &EpochRecord, names: &[String]) -> String {
    let EpochRecord {
        epoch: number,
        learning_rate,
        seconds,
        from_cache,
        ..
    } = epoch;
    let mut line = format!("{number},{learning_rate},{seconds:.3},{from_cache}");
    for name in names {
        line.push(',');
        if let Some(value) = epoch.get(name) {
            line.push_str(&value.to_string());
        }
    }
    line.push('\n');
    line
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|source| Error::Io {
        path: path.to_path_buf(),
        source,
    })
}

/// A table, a line for each epoch, then what there is to say about it.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        write!(f, "{:>5} {:>10} {:>8}", "epoch", "rate", "seconds")?;
        for name in &names {
            write!(f, " {name:>12}")?;
        }
        for epoch in &self.epochs {
            let EpochRecord {
                epoch: number,
                learning_rate,
                seconds,
                ..
            } = epoch;
            write!(f, "\n{number:>5} {learning_rate:>10.3e} {seconds:>8.2}")?;
            for name in &names {
                let width = name.len().max(12);
                match epoch.get(name) {
                    Some(value) => write!(f, " {value:>width$.4}")?,
                    None => write!(f, " {:>width$}", "-")?,
                }
            }
        }
        match self.ended {
            Ended::Completed => {}
            Ended::Stopped => write!(f, "\nended early by a callback")?,
            Ended::Interrupted => write!(f, "\ninterrupted")?,
            Ended::Failed => write!(f, "\nended by an error")?,
        }
        if let Some(cache) = &self.cache {
            write!(f, "\n{cache}")?;
        }
        for finding in &self.findings {
            write!(f, "\nlook at this: {finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layer,
            examples,
            memory_bytes,
            file_bytes,
        } = self;
        let megabytes = |bytes: &u64| *bytes as f64 / 1e6;
        write!(
            f,
            "the output of \"{layer}\" was kept for {examples} examples: {:.1} MB in memory, \
             {:.1} MB in a file",
            megabytes(memory_bytes),
            megabytes(file_bytes)
        )
    }
}
