use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Result;

use super::confusion::ConfusionMatrix;
use super::labels::{LabelPredictions, no_ranks};
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
    /// For each label, the counts without it (class 0) and with it (class 1), if
    /// [`Metric::Confusion`](super::Metric::Confusion) was requested and examples
    /// have several labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_confusions: Vec<ConfusionMatrix>,
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
    /// One for each label, if examples have several.
    #[serde(default)]
    label_confusions: Vec<ConfusionMatrix>,
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
        for (metric, sum) in metrics.iter().zip(&mut self.sums) {
            if let Metric::Custom(custom) = metric {
                *sum += (custom.measure)(scores.tensor, scores.targets)? * batch as f64;
            }
        }
        if metrics.iter().all(|m| matches!(m, Metric::Custom(_))) {
            return Ok(());
        }
        match LabelPredictions::new(scores)? {
            Some(labels) => self.count_labels(metrics, &labels),
            None => {
                self.count_classes(metrics, &Predictions::new(scores)?);
                Ok(())
            }
        }
    }

    fn count_labels(&mut self, metrics: &[Metric], labels: &LabelPredictions) -> Result<()> {
        for (metric, sum) in metrics.iter().zip(&mut self.sums) {
            match metric {
                Metric::TopAccuracy(_) => return Err(no_ranks().into()),
                Metric::Accuracy => *sum += labels.accuracy(),
                Metric::ExactMatch => *sum += labels.exact(),
                _ => {}
            }
        }
        if metrics.iter().any(Metric::needs_confusion) {
            labels.count_in(&mut self.label_confusions);
        }
        Ok(())
    }

    fn count_classes(&mut self, metrics: &[Metric], predictions: &Predictions) {
        for (metric, sum) in metrics.iter().zip(&mut self.sums) {
            match metric {
                Metric::Accuracy | Metric::ExactMatch => *sum += predictions.hits(1),
                Metric::TopAccuracy(count) => *sum += predictions.hits(*count),
                _ => {}
            }
        }
        if metrics.iter().any(Metric::needs_confusion) {
            self.is_binary = predictions.are_binary();
            let new = || ConfusionMatrix::new(predictions.classes());
            predictions.count_in(self.confusion.get_or_insert_with(new));
        }
    }

    /// The mean over the classes or labels; of a single score for class 1.
    fn mean(&self, measure: impl Fn(&ConfusionMatrix, usize) -> f64) -> f64 {
        let labels = self.label_confusions.iter().map(|own| measure(own, 1));
        match &self.confusion {
            Some(confusion) => confusion.mean(self.is_binary, measure),
            None => labels.sum::<f64>() / self.label_confusions.len().max(1) as f64,
        }
    }

    /// Over all labels together; of a single score for class 1. For one of several
    /// classes, each wrong prediction misses one class and invents another, so
    /// that all measures are the accuracy.
    fn micro(&self, measure: impl Fn(&ConfusionMatrix, usize) -> f64) -> f64 {
        match &self.confusion {
            Some(confusion) if self.is_binary => measure(confusion, 1),
            Some(confusion) => confusion.accuracy(),
            None => {
                let mut sum = ConfusionMatrix::new(2);
                self.label_confusions.iter().for_each(|own| sum.add(own));
                measure(&sum, 1)
            }
        }
    }

    pub(in crate::train) fn mean_loss(&self) -> f64 {
        self.loss / self.examples.max(1) as f64
    }

    pub(in crate::train) fn evaluation(&self, metrics: &[Metric]) -> Evaluation {
        let count = self.examples.max(1) as f64;
        let measured = metrics.iter().enumerate().filter_map(|(index, metric)| {
            let value = match metric {
                Metric::Confusion => return None,
                Metric::Precision => self.mean(ConfusionMatrix::precision),
                Metric::Recall => self.mean(ConfusionMatrix::recall),
                Metric::F1 => self.mean(ConfusionMatrix::f1),
                Metric::MicroPrecision => self.micro(ConfusionMatrix::precision),
                Metric::MicroRecall => self.micro(ConfusionMatrix::recall),
                Metric::MicroF1 => self.micro(ConfusionMatrix::f1),
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
            label_confusions: match keeps {
                true => self.label_confusions.clone(),
                false => Vec::new(),
            },
        }
    }
}
