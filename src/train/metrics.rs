use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::data::Targets;
use crate::error::{Result, TrainingError};

use super::confusion::ConfusionMatrix;
use super::goal::are_laid_out_alike;
use super::loss::values;

type Closure = dyn Fn(&Tensor, &Targets) -> Result<f64> + Send + Sync;

/// What is measured besides the loss, for training and validation.
///
/// Those about classes take scores `(N, K)`, of which the highest wins; with a
/// single score a class of 1 is told where it says yes (a logit above 0).
/// Mixed targets count as their largest share.
#[derive(Clone)]
#[non_exhaustive]
pub enum Metric {
    /// The share of examples whose class got the highest score.
    Accuracy,
    /// The share of examples whose class is among so many highest scores.
    TopAccuracy(usize),
    /// The mean over the classes of the share of what was told to be of a
    /// class that is of it; for a single score that of class 1. A class that
    /// nothing was told to be of counts 0.
    Precision,
    /// The mean over the classes of the share of a class's examples that were
    /// told to be of it; for a single score that of class 1.
    Recall,
    /// The mean over the classes of the harmonic mean of precision and recall;
    /// for a single score that of class 1.
    F1,
    /// The counts of classes told for each class, in
    /// [`Evaluation::confusion`].
    Confusion,
    /// A measure of one's own; see [`Metric::custom`].
    Custom(CustomMetric),
}

/// A user's measure, by name.
#[derive(Clone)]
pub struct CustomMetric {
    name: String,
    measure: Arc<Closure>,
}

impl fmt::Debug for CustomMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomMetric").field(&self.name).finish()
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Metric {
    /// A measure of one's own: scores and targets of a batch to the mean over
    /// it. The scores are what the loss takes: for the cross-entropies logits.
    pub fn custom(
        name: impl Into<String>,
        measure: impl Fn(&Tensor, &Targets) -> Result<f64> + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(CustomMetric {
            name: name.into(),
            measure: Arc::new(measure),
        })
    }

    /// What it is called in reports: `"accuracy"`, `"top5_accuracy"`.
    pub fn name(&self) -> String {
        match self {
            Self::Accuracy => "accuracy".to_string(),
            Self::TopAccuracy(count) => format!("top{count}_accuracy"),
            Self::Precision => "precision".to_string(),
            Self::Recall => "recall".to_string(),
            Self::F1 => "f1".to_string(),
            Self::Confusion => "confusion".to_string(),
            Self::Custom(custom) => custom.name.clone(),
        }
    }

    fn needs_confusion(&self) -> bool {
        matches!(
            self,
            Self::Precision | Self::Recall | Self::F1 | Self::Confusion
        )
    }
}

/// Loss and metrics over a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss.
    #[serde(with = "super::number")]
    pub loss: f64,
    /// Names and values of the metrics, in the order asked for.
    pub metrics: Vec<Measured>,
    /// The classes told for each class, if [`Metric::Confusion`] was asked
    /// for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

/// One metric's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// The metric.
    pub name: String,
    /// Its value.
    #[serde(with = "super::number")]
    pub value: f64,
}

impl Evaluation {
    /// The value of a metric, or of `"loss"`.
    pub fn get(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        let found = self.metrics.iter().find(|metric| metric.name == name);
        found.map(|metric| metric.value)
    }

    /// The share of examples whose class got the highest score, if
    /// [`Metric::Accuracy`] was asked for.
    pub fn accuracy(&self) -> Option<f64> {
        self.get("accuracy")
    }
}

impl fmt::Display for Evaluation {
    /// Loss and metrics in a line, and the classes told below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for Measured { name, value } in &self.metrics {
            write!(f, ", {name} {value:.4}")?;
        }
        match &self.confusion {
            Some(confusion) => write!(f, "\n{confusion}"),
            None => Ok(()),
        }
    }
}

/// Sums over the batches of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    examples: u64,
    #[serde(with = "super::number")]
    loss: f64,
    /// For each metric the sum over examples, 0 where the confusion tells.
    #[serde(with = "super::number::list")]
    sums: Vec<f64>,
    confusion: Option<ConfusionMatrix>,
    /// Whether a single score tells class 1 from class 0.
    is_single: bool,
}

impl Tally {
    /// Counts a batch: its mean loss, and the scores it was taken of, of which
    /// those above `yes` mean yes.
    pub(super) fn count(
        &mut self,
        metrics: &[Metric],
        loss: f64,
        scores: &Scores<'_>,
    ) -> Result<()> {
        let batch = scores.tensor.dims().first().copied().unwrap_or(0);
        self.examples = self.examples.saturating_add(batch as u64);
        self.loss += loss * batch as f64;
        self.sums.resize(metrics.len(), 0.0);
        if metrics.is_empty() {
            return Ok(());
        }
        let all_custom = metrics.iter().all(|m| matches!(m, Metric::Custom(_)));
        let classified = if all_custom {
            None
        } else {
            Some(Classified::new(scores)?)
        };
        for (metric, sum) in metrics.iter().zip(&mut self.sums) {
            match (metric, &classified) {
                (Metric::Custom(custom), _) => {
                    *sum += (custom.measure)(scores.tensor, scores.targets)? * batch as f64;
                }
                (Metric::Accuracy, Some(classified)) => *sum += classified.hits(1),
                (Metric::TopAccuracy(count), Some(classified)) => *sum += classified.hits(*count),
                _ => {}
            }
        }
        if let Some(classified) = &classified
            && metrics.iter().any(Metric::needs_confusion)
        {
            let classes = classified.classes();
            self.is_single = classified.width == 1;
            let confusion = self
                .confusion
                .get_or_insert_with(|| ConfusionMatrix::new(classes));
            for (&actual, told) in classified.actual.iter().zip(classified.told()) {
                confusion.count(actual, told);
            }
        }
        Ok(())
    }

    pub(super) fn mean_loss(&self) -> f64 {
        self.loss / self.examples.max(1) as f64
    }

    pub(super) fn finish(&self, metrics: &[Metric]) -> Evaluation {
        let count = self.examples.max(1) as f64;
        let empty = ConfusionMatrix::new(1);
        let confusion = self.confusion.as_ref().unwrap_or(&empty);
        let measured = metrics.iter().enumerate().filter_map(|(index, metric)| {
            let value = match metric {
                Metric::Confusion => return None,
                Metric::Precision => confusion.mean(self.is_single, ConfusionMatrix::precision),
                Metric::Recall => confusion.mean(self.is_single, ConfusionMatrix::recall),
                Metric::F1 => confusion.mean(self.is_single, ConfusionMatrix::f1),
                _ => self.sums.get(index).copied().unwrap_or(0.0) / count,
            };
            let name = metric.name();
            Some(Measured { name, value })
        });
        let keeps = metrics.iter().any(|m| matches!(m, Metric::Confusion));
        Evaluation {
            loss: self.mean_loss(),
            metrics: measured.collect(),
            confusion: self.confusion.clone().filter(|_| keeps),
        }
    }
}

/// Scores of a batch, with what they should be.
pub(super) struct Scores<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) targets: &'a Targets,
    /// Where a single score begins to mean yes.
    pub(super) yes: f64,
}

/// Scores of examples that each are of one class.
struct Classified {
    scores: Vec<f64>,
    /// Scores of one example.
    width: usize,
    actual: Vec<usize>,
    yes: f64,
}

impl Classified {
    fn new(scores: &Scores<'_>) -> Result<Self> {
        let misfit = |actual: String| TrainingError::Targets {
            loss: "a metric about classes",
            expected: "scores (N, K) and a class for each example (for others take \
                       Trainer::metrics without it)"
                .to_string(),
            actual,
        };
        let &[_, width] = scores.tensor.dims() else {
            return Err(misfit(format!("scores {:?}", scores.tensor.dims())).into());
        };
        let actual = match scores.targets {
            Targets::Classes(classes) => classes.clone(),
            Targets::Soft(shares) | Targets::Values(shares) => {
                if !are_laid_out_alike(scores.tensor, shares) {
                    return Err(misfit(format!("targets {:?}", shares.dims())).into());
                }
                let shares = values(shares)?;
                let rows = shares.chunks(width.max(1));
                rows.map(|row| strongest(row, 0.5)).collect()
            }
        };
        let classified = Self {
            scores: values(scores.tensor)?,
            width,
            actual,
            yes: scores.yes,
        };
        let classes = classified.classes();
        if let Some(index) = classified.actual.iter().position(|&class| class >= classes) {
            let class = classified.actual[index];
            return Err(TrainingError::ClassOutOfRange {
                index,
                class,
                classes,
            }
            .into());
        }
        Ok(classified)
    }

    fn classes(&self) -> usize {
        self.width.max(2)
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.scores.chunks(self.width.max(1))
    }

    fn told(&self) -> impl Iterator<Item = usize> {
        self.rows().map(|row| strongest(row, self.yes))
    }

    /// Examples whose class is among the `count` highest scores; of equal ones
    /// the lower index is the higher.
    fn hits(&self, count: usize) -> f64 {
        let examples = self.rows().zip(&self.actual);
        let hits = examples.filter(|(row, actual)| match **row {
            [_] => count > 1 || strongest(row, self.yes) == **actual,
            _ => {
                let own = row[**actual];
                let above = row
                    .iter()
                    .enumerate()
                    .filter(|&(class, &score)| score > own || (score == own && class < **actual));
                own.is_finite() && above.count() < count
            }
        });
        hits.count() as f64
    }
}

/// The index of the highest score, the first of equal ones; of a single one
/// whether it says yes.
fn strongest(row: &[f64], yes: f64) -> usize {
    if let [score] = row {
        return usize::from(*score > yes);
    }
    let mut best = 0;
    for (class, score) in row.iter().enumerate() {
        if *score > row[best] {
            best = class;
        }
    }
    best
}
