use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Result, TrainingError};
use crate::train::loss::{f64_values, have_same_layout};

use super::confusion::ConfusionMatrix;
use super::predictions::Scores;

/// Which labels examples have, and which are predicted, where an example may have
/// any number of them.
pub(super) struct LabelPredictions {
    actual: Vec<bool>,
    predicted: Vec<bool>,
    /// Number of labels of one example.
    width: usize,
}

impl LabelPredictions {
    /// `None` if each example has one class.
    pub(super) fn new(scores: &Scores<'_>) -> Result<Option<Self>> {
        if let (true, Targets::Soft(fractions)) = (scores.has_labels, scores.targets) {
            check_fractions(fractions)?;
        }
        let (Targets::Values(targets), &[_, width]) = (scores.targets, scores.tensor.dims()) else {
            return Ok(None);
        };
        if width < 2 || !scores.has_labels || !have_same_layout(scores.tensor, targets) {
            return Ok(None);
        }
        let above = |values: Vec<f64>, threshold: f64| -> Vec<bool> {
            values.into_iter().map(|value| value > threshold).collect()
        };
        Ok(Some(Self {
            actual: above(f64_values(targets)?, 0.5),
            predicted: above(f64_values(scores.tensor)?, scores.threshold),
            width,
        }))
    }

    /// For each example, how many of its labels are predicted right.
    fn right(&self) -> impl Iterator<Item = usize> {
        let actual = self.actual.chunks(self.width);
        let rows = actual.zip(self.predicted.chunks(self.width));
        rows.map(|(actual, predicted)| {
            let pairs = actual.iter().zip(predicted);
            pairs
                .filter(|(actual, predicted)| actual == predicted)
                .count()
        })
    }

    /// The sum over the examples of the fraction of labels that are predicted right.
    pub(super) fn accuracy(&self) -> f64 {
        self.right().sum::<usize>() as f64 / self.width as f64
    }

    /// Number of examples whose labels are all predicted right.
    pub(super) fn exact(&self) -> f64 {
        self.right().filter(|&right| right == self.width).count() as f64
    }

    /// Counts in a matrix for each label, of class 0 without and class 1 with it.
    pub(super) fn count_in(&self, confusions: &mut Vec<ConfusionMatrix>) {
        confusions.resize(self.width, ConfusionMatrix::new(2));
        for (index, (&actual, &predicted)) in self.actual.iter().zip(&self.predicted).enumerate() {
            let confusion = &mut confusions[index % self.width];
            confusion.count(usize::from(actual), usize::from(predicted));
        }
    }
}

/// Refuses labels that are given as fractions of one class: the class with the
/// largest fraction would be measured in silence.
fn check_fractions(fractions: &Tensor) -> Result<()> {
    let sums = f64_values(&fractions.sum(1)?)?;
    match sums.into_iter().find(|sum| (sum - 1.0).abs() > 1e-3) {
        None => Ok(()),
        Some(sum) => Err(TrainingError::Targets {
            loss: "a metric under binary cross-entropy",
            expected: "fractions of one class that sum to 1 (give several labels as a tensor of \
                       values)"
                .to_string(),
            actual: format!("fractions that sum to {sum}"),
        }
        .into()),
    }
}

pub(super) fn no_ranks() -> TrainingError {
    TrainingError::Targets {
        loss: "top-k accuracy",
        expected: "one class for each example (for several labels take Metric::Accuracy or \
                   Metric::ExactMatch)"
            .to_string(),
        actual: "several labels for each".to_string(),
    }
}
