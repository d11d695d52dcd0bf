use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::history::{CacheReport, Ended, EpochRecord, History};
use super::metrics::Tally;
use super::schedule::Plateau;

/// How far a training has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Epochs that are over.
    pub(super) epoch: u64,
    /// Batches of the next one that are.
    pub(super) batch: usize,
    /// Epochs that were over when the current `fit` began.
    pub(super) start: u64,
    /// Of the epoch that is not over.
    pub(super) tally: Tally,
    /// Of the epoch that is not over.
    #[serde(with = "super::number")]
    pub(super) seconds: f64,
    pub(super) plateau: Plateau,
    pub(super) epochs: Vec<EpochRecord>,
    pub(super) ended: Ended,
    pub(super) findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) cache: Option<CacheReport>,
    /// What decides the order of batches; filled in by `fit`.
    pub(super) data: DataSettings,
}

/// What has to be the same for an epoch to be gone on with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataSettings {
    pub(super) examples: usize,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) shuffles: bool,
}

impl DataSettings {
    /// What differs from when a checkpoint was saved, and what to change.
    pub(super) fn differences(&self, saved: &Self) -> String {
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

impl Run {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            batch: 0,
            start: 0,
            tally: Tally::default(),
            seconds: 0.0,
            plateau: Plateau::new(),
            epochs: Vec::new(),
            ended: Ended::Completed,
            findings: Vec::new(),
            cache: None,
            data: DataSettings::default(),
        }
    }

    /// A new `fit` begins: with a whole epoch.
    pub(super) fn begin(&mut self) {
        self.start = self.epoch;
        self.abandon_epoch();
        self.plateau = Plateau::new();
        self.ended = Ended::Completed;
    }

    /// A `fit` goes on with one that was saved; with one that a callback had
    /// stopped there is nothing left to do.
    pub(super) fn go_on(&mut self) {
        if self.ended != Ended::Stopped {
            self.ended = Ended::Completed;
        }
    }

    /// Forgets the epoch that is not over.
    pub(super) fn abandon_epoch(&mut self) {
        self.batch = 0;
        self.tally = Tally::default();
        self.seconds = 0.0;
    }

    /// Adds a finding that is not there yet.
    pub(super) fn note(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn history(&self) -> History {
        History {
            epochs: self.epochs.clone(),
            ended: self.ended,
            findings: self.findings.clone(),
            cache: self.cache.clone(),
        }
    }
}
