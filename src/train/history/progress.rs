use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::train::metrics::{Tally, null_as_nan};
use crate::train::settings::Plateau;

use super::divergence::Baseline;
use super::finding::Finding;
use super::report::{CacheReport, EpochRecord, History, StopReason, with_or_without_name};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct Progress {
    /// Number of finished epochs.
    pub(in crate::train) epoch: u64,
    /// Number of finished batches of the current epoch.
    pub(in crate::train) batch: usize,
    /// Number of finished epochs when the current `fit` began.
    pub(in crate::train) start: u64,
    /// Sums over the current epoch.
    pub(in crate::train) tally: Tally,
    /// Time spent on the current epoch.
    #[serde(deserialize_with = "null_as_nan")]
    pub(in crate::train) seconds: f64,
    pub(in crate::train) plateau: Plateau,
    #[serde(default)]
    pub(in crate::train) baseline: Option<Baseline>,
    pub(in crate::train) epochs: Vec<EpochRecord>,
    #[serde(deserialize_with = "with_or_without_name")]
    pub(in crate::train) ended: StopReason,
    #[serde(default)]
    pub(in crate::train) restored_epoch: Option<u64>,
    pub(in crate::train) findings: Vec<Finding>,
    #[serde(skip)]
    pub(in crate::train) cache: Option<CacheReport>,
    /// Set by `fit`.
    pub(in crate::train) data: DataSettings,
}

/// The settings that decide the order of batches. An epoch can be resumed only
/// if they are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::train) struct DataSettings {
    pub(in crate::train) examples: usize,
    pub(in crate::train) batch_size: usize,
    pub(in crate::train) seed: u64,
    pub(in crate::train) shuffles: bool,
}

impl DataSettings {
    /// The differences from when a checkpoint was saved, and what to change.
    pub(in crate::train) fn differences(&self, saved: &Self) -> String {
        let mut found = Vec::new();
        if self.examples != saved.examples {
            found.push(format!(
                "it was saved with {} examples, but the data have {}; train on the same data",
                saved.examples, self.examples
            ));
        }
        let mut set = |name: &str, own: &dyn Display, saved: &dyn Display| {
            found.push(format!(
                "it was saved with {name}({saved}), but there is {name}({own}); call \
                 Trainer::{name}({saved})"
            ));
        };
        if self.batch_size != saved.batch_size {
            set("batch_size", &self.batch_size, &saved.batch_size);
        }
        if self.seed != saved.seed {
            set("seed", &self.seed, &saved.seed);
        }
        if self.shuffles != saved.shuffles {
            set("shuffle", &self.shuffles, &saved.shuffles);
        }
        found.join("; ")
    }
}

impl Progress {
    pub(in crate::train) fn new() -> Self {
        Self {
            epoch: 0,
            batch: 0,
            start: 0,
            tally: Tally::default(),
            seconds: 0.0,
            plateau: Plateau::new(),
            baseline: None,
            epochs: Vec::new(),
            ended: StopReason::Completed,
            restored_epoch: None,
            findings: Vec::new(),
            cache: None,
            data: DataSettings::default(),
        }
    }

    /// Starts a new `fit`, with a whole epoch.
    pub(in crate::train) fn begin(&mut self) {
        self.start = self.epoch;
        self.abandon_epoch();
        self.plateau = Plateau::new();
        self.baseline = None;
        self.ended = StopReason::Completed;
        self.renew();
    }

    /// Continues a `fit` that was saved. If a callback had stopped it, nothing
    /// is left to do.
    pub(in crate::train) fn resume(&mut self) {
        if !matches!(self.ended, StopReason::Stopped { .. }) {
            self.ended = StopReason::Completed;
        }
        self.renew();
    }

    /// Drops what only the end of a `fit` decides.
    fn renew(&mut self) {
        self.restored_epoch = None;
        let is_chance = |finding: &Finding| matches!(finding, Finding::LossOfChance { .. });
        self.findings.retain(|finding| !is_chance(finding));
    }

    pub(in crate::train) fn abandon_epoch(&mut self) {
        self.batch = 0;
        self.tally = Tally::default();
        self.seconds = 0.0;
    }

    pub(in crate::train) fn note(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Notes, once in a `fit`, that the loss diverged.
    pub(in crate::train) fn note_divergence(&mut self) {
        let start = self.start;
        let is_known = |finding: &Finding| matches!(finding, Finding::LossDiverged { epoch, .. } if *epoch > start);
        if self.findings.iter().any(is_known) {
            return;
        }
        let first = self.epochs.partition_point(|record| record.epoch <= start);
        let baseline = self.baseline.as_ref();
        if let Some(finding) = baseline.and_then(|own| own.divergence(&self.epochs[first..])) {
            self.note(finding);
        }
    }

    pub(in crate::train) fn history(&self) -> History {
        History {
            epochs: self.epochs.clone(),
            ended: self.ended.clone(),
            restored_epoch: self.restored_epoch,
            findings: self.findings.clone(),
            cache: self.cache.clone(),
        }
    }
}
