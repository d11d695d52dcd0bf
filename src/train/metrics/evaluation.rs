use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Result;

use super::confusion::ConfusionMatrix;
use super::metric::Metric;
use super::predictions::{Predictions, Scores};

/// JSON has only finite numbers: serde_json writes others as `null`.
pub(in crate::train) fn null_as_nan<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn nulls_as_nan<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Deserialize::deserialize(deserializer)?;
    let values = values.into_iter();
    Ok(values.map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Loss and metrics over a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss.
    #[serde(deserialize_with = "null_as_nan")]
    pub loss: f64,
    /// Names and values of the metrics, in the order requested.
    pub metrics: Vec<MetricValue>,
    /// The predicted classes of each class, if
    /// [`Metric::Confusion`](super::Metric::Confusion) was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

/// One metric's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricValue {
    /// The metric.
    pub name: String,
    /// Its value.
    #[serde(deserialize_with = "null_as_nan")]
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

    /// `"loss"` and the metrics' names, each after this prefix.
    pub(in crate::train) fn names(&self, prefix: &str) -> Vec<String> {
        let metrics = self.metrics.iter().map(|metric| metric.name.as_str());
        let names = std::iter::once("loss").chain(metrics);
        names.map(|name| format!("{prefix}{name}")).collect()
    }

    /// The fraction of examples whose class got the highest score, if
    /// [`Metric::Accuracy`](super::Metric::Accuracy) was requested.
    pub fn accuracy(&self) -> Option<f64> {
        self.get("accuracy")
    }
}

impl fmt::Display for Evaluation {
    /// Loss and metrics in a line, and the confusion matrix below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for MetricValue { name, value } in &self.metrics {
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
pub(in crate::train) struct Tally {
    examples: u64,
    #[serde(deserialize_with = "null_as_nan")]
    loss: f64,
    /// For each metric, over examples; 0 if the confusion matrix gives it.
    #[serde(deserialize_with = "nulls_as_nan")]
    sums: Vec<f64>,
    confusion: Option<ConfusionMatrix>,
    /// Whether a single score decides between class 0 and class 1. Called
    /// `is_single` in checkpoints of version 1.
    #[serde(alias = "is_single")]
    is_binary: bool,
}

impl Tally {
    /// Counts a batch: its mean loss, and the scores that the loss read.
    pub(in crate::train) fn count(
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
        let predictions = (!all_custom).then(|| Predictions::new(scores));
        let predictions = predictions.transpose()?;
        for (metric, sum) in metrics.iter().zip(&mut self.sums) {
            match (metric, &predictions) {
                (Metric::Custom(custom), _) => {
                    *sum += (custom.measure)(scores.tensor, scores.targets)? * batch as f64;
                }
                (Metric::Accuracy, Some(predictions)) => *sum += predictions.hits(1),
                (Metric::TopAccuracy(count), Some(predictions)) => *sum += predictions.hits(*count),
                _ => {}
            }
        }
        if let Some(predictions) = &predictions
            && metrics.iter().any(Metric::needs_confusion)
        {
            self.is_binary = predictions.are_binary();
            let new = || ConfusionMatrix::new(predictions.classes());
            predictions.count_in(self.confusion.get_or_insert_with(new));
        }
        Ok(())
    }

    pub(in crate::train) fn mean_loss(&self) -> f64 {
        self.loss / self.examples.max(1) as f64
    }

    pub(in crate::train) fn evaluation(&self, metrics: &[Metric]) -> Evaluation {
        let count = self.examples.max(1) as f64;
        let empty = ConfusionMatrix::new(1);
        let confusion = self.confusion.as_ref().unwrap_or(&empty);
        let measured = metrics.iter().enumerate().filter_map(|(index, metric)| {
            let value = match metric {
                Metric::Confusion => return None,
                Metric::Precision => confusion.mean(self.is_binary, ConfusionMatrix::precision),
                Metric::Recall => confusion.mean(self.is_binary, ConfusionMatrix::recall),
                Metric::F1 => confusion.mean(self.is_binary, ConfusionMatrix::f1),
                _ => self.sums.get(index).copied().unwrap_or(0.0) / count,
            };
            let name = metric.name();
            Some(MetricValue { name, value })
        });
        let keeps = metrics.iter().any(|m| matches!(m, Metric::Confusion));
        Evaluation {
            loss: self.mean_loss(),
            metrics: measured.collect(),
            confusion: self.confusion.clone().filter(|_| keeps),
        }
    }
}
