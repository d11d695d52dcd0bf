use candle_core::Tensor;

use crate::data::{Batch, Targets};
use crate::error::{Error, Result, TrainingError};
use crate::train::loss::BatchLoss;
use crate::train::metrics::{Scores, Tally};
use crate::train::settings::ResolvedSettings;

/// A batch of examples, or of their features after the frozen layers.
pub(super) struct TrainingBatch {
    pub(super) inputs: Tensor,
    pub(super) targets: Targets,
    pub(super) weights: Option<Tensor>,
    /// The index of each example in its data set.
    pub(super) indices: Vec<usize>,
    pub(super) has_features: bool,
}

impl From<Batch> for TrainingBatch {
    fn from(batch: Batch) -> Self {
        Self {
            inputs: batch.inputs,
            targets: batch.targets,
            weights: batch.weights,
            indices: batch.indices,
            has_features: false,
        }
    }
}

impl TrainingBatch {
    pub(super) fn loss(
        &self,
        scores: &Tensor,
        settings: &ResolvedSettings<'_>,
    ) -> Result<BatchLoss> {
        let loss = &settings.requested.loss;
        let loss = loss.of_batch(scores, &self.targets, self.weights.as_ref());
        loss.map_err(|error| self.locate(error))
    }

    /// The loss, which is counted in the tally with the metrics.
    pub(super) fn count(
        &self,
        scores: &Tensor,
        settings: &ResolvedSettings<'_>,
        tally: &mut Tally,
    ) -> Result<BatchLoss> {
        let loss = self.loss(scores, settings)?;
        let scores = Scores::new(scores, &self.targets, &settings.requested.loss);
        let counted = tally.count(&settings.metrics, loss.value, &scores);
        counted.map_err(|error| self.locate(error))?;
        Ok(loss)
    }

    /// Names an error's example by its index in the data set instead of in the
    /// batch.
    fn locate(&self, error: Error) -> Error {
        match error {
            Error::Training(TrainingError::ClassOutOfRange {
                index,
                class,
                classes,
            }) => TrainingError::ClassOutOfRange {
                index: self.indices.get(index).copied().unwrap_or(index),
                class,
                classes,
            }
            .into(),
            other => other,
        }
    }
}
