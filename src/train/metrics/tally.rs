use serde::{Deserialize, Serialize};

use crate::error::Result;

use super::confusion::ConfusionMatrix;
use super::evaluation::{Evaluation, MetricValue};
use super::metric::Metric;
use super::predictions::{Predictions, Scores};

/// Sums over the batches of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct Tally {
    examples: u64,
    #[serde(with = "crate::train::json_float")]
    loss: f64,
    /// For each metric the sum over examples; 0 if the confusion matrix gives it.
    #[serde(with = "crate::train::json_float::list")]
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
        let predictions = match all_custom {
            true => None,
            false => Some(Predictions::new(scores)?),
        };
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

    /// The means over all batches that were counted.
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
