use serde::{Deserialize, Serialize};

use crate::train::metrics::null_as_nan;

use super::finding::Finding;
use super::report::EpochRecord;

/// A loss this many times its reference diverged, if it stays so for two epochs.
/// The first steps on large features may raise the loss as much for one epoch.
const FAR: f64 = 10.0;

/// A loss this many times its reference diverged, whatever comes next.
const OUT_OF_SIGHT: f64 = 1000.0;

/// What a `fit` starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct Baseline {
    /// The loss of the first batch, before the first step.
    #[serde(deserialize_with = "null_as_nan")]
    pub(in crate::train) first: f64,
    /// The loss of the first batch for an output of zeros; for classes that of
    /// guessing. Unknown for a custom loss.
    pub(in crate::train) chance: Option<f64>,
    pub(in crate::train) is_of_classes: bool,
}

impl Baseline {
    /// Whether the last of a `fit`'s epochs shows that the loss diverged.
    pub(super) fn divergence(&self, epochs: &[EpochRecord]) -> Option<Finding> {
        let (last, earlier) = epochs.split_last()?;
        let expected = self.reference(earlier);
        let is_beyond =
            |record: &EpochRecord, limit| expected > 0.0 && record.train.loss > limit * expected;
        let stays_far = earlier.last().is_some_and(|record| is_beyond(record, FAR));
        let diverged = is_beyond(last, OUT_OF_SIGHT) || (stays_far && is_beyond(last, FAR));
        diverged.then_some(Finding::LossDiverged {
            epoch: last.epoch,
            loss: last.train.loss,
            expected,
            learning_rate: last.learning_rate,
        })
    }

    /// The loss that a training should not exceed by far. One of classes that was
    /// below chance should stay there. A regression may get close to 0, where a
    /// multiple means nothing, so it is compared with its start alone.
    fn reference(&self, earlier: &[EpochRecord]) -> f64 {
        let chance = self.chance.unwrap_or(0.0);
        if !self.is_of_classes {
            return chance.max(self.first.abs());
        }
        let losses = earlier.iter().map(|record| record.train.loss);
        chance.max(losses.fold(self.first, f64::min))
    }
}
