use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Error, Result, TrainingError};
use crate::train::loss::{Loss, f64_values, have_same_layout};

use super::confusion::ConfusionMatrix;

pub(in crate::train) struct Scores<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) targets: &'a Targets,
    /// The score above which a single output means class 1, or a label is there.
    pub(super) threshold: f64,
    /// Whether values as targets of several outputs are labels.
    pub(super) has_labels: bool,
}

impl<'a> Scores<'a> {
    /// `threshold` is a probability.
    pub(in crate::train) fn new(
        tensor: &'a Tensor,
        targets: &'a Targets,
        loss: &Loss,
        threshold: f64,
    ) -> Self {
        Self {
            tensor,
            targets,
            threshold: loss.score_at(threshold),
            has_labels: loss.is_binary_cross_entropy(),
        }
    }
}

/// Scores of examples that each have one class.
pub(super) struct Predictions {
    scores: Vec<f64>,
    /// Number of scores of one example.
    width: usize,
    actual: Vec<usize>,
    threshold: f64,
}

impl Predictions {
    pub(super) fn new(scores: &Scores<'_>) -> Result<Self> {
        let misfit = |actual: String| TrainingError::Targets {
            loss: "a metric of classes",
            expected: "scores (N, K) and a class for each example (for others call \
                       Trainer::metrics without it)"
                .to_string(),
            actual,
        };
        let &[_, width] = scores.tensor.dims() else {
            return Err(misfit(format!("scores {:?}", scores.tensor.dims())).into());
        };
        let actual = match scores.targets {
            Targets::Classes(classes) => classes.clone(),
            Targets::Soft(targets) | Targets::Values(targets) => {
                if !have_same_layout(scores.tensor, targets) {
                    return Err(misfit(format!("targets {:?}", targets.dims())).into());
                }
                let targets = f64_values(targets)?;
                let rows = targets.chunks(width.max(1));
                rows.map(|row| top_class(row, 0.5)).collect()
            }
        };
        let predictions = Self {
            scores: f64_values(scores.tensor)?,
            width,
            actual,
            threshold: scores.threshold,
        };
        let classes = predictions.classes();
        match predictions
            .actual
            .iter()
            .position(|&class| class >= classes)
        {
            None => Ok(predictions),
            Some(index) => Err(Error::ClassOutOfRange {
                example: Some(index),
                class: predictions.actual[index],
                classes,
            }),
        }
    }

    pub(super) fn are_binary(&self) -> bool {
        self.width == 1
    }

    pub(super) fn classes(&self) -> usize {
        self.width.max(2)
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.scores.chunks(self.width.max(1))
    }

    pub(super) fn count_in(&self, confusion: &mut ConfusionMatrix) {
        for (row, &actual) in self.rows().zip(&self.actual) {
            confusion.count(actual, top_class(row, self.threshold));
        }
    }

    /// Examples whose class is among the `count` highest scores. Of equal scores
    /// the one of the lower class ranks higher.
    pub(super) fn hits(&self, count: usize) -> f64 {
        let examples = self.rows().zip(&self.actual);
        let hits = examples.filter(|(row, actual)| match **row {
            [_] => count > 1 || top_class(row, self.threshold) == **actual,
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

/// The class of the highest score, the first of equal ones; of a single score
/// 1 if it is above the threshold, else 0.
fn top_class(row: &[f64], threshold: f64) -> usize {
    if let [score] = row {
        return usize::from(*score > threshold);
    }
    let mut best = 0;
    for (class, score) in row.iter().enumerate() {
        if *score > row[best] {
            best = class;
        }
    }
    best
}
