use candle_core::Tensor;

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::train::loss::BatchLoss;
use crate::train::metrics::{Scores, Tally};
use crate::train::settings::ResolvedSettings;

/// A batch of examples, or of their features after the frozen layers.
pub(super) struct TrainingBatch {
    pub(super) batch: Batch,
    pub(super) has_features: bool,
}

impl TrainingBatch {
    pub(super) fn loss(
        &self,
        scores: &Tensor,
        settings: &ResolvedSettings<'_>,
    ) -> Result<BatchLoss> {
        let loss = &settings.requested.loss;
        let loss = loss.of_batch(scores, &self.batch.targets, self.batch.weights.as_ref());
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
        let scores = Scores::new(scores, &self.batch.targets, &settings.requested.loss);
        let counted = tally.count(&settings.metrics, loss.value, &scores);
        counted.map_err(|error| self.locate(error))?;
        Ok(loss)
    }

    /// Names an error's example by its index in the data set instead of in the
    /// batch.
    fn locate(&self, error: Error) -> Error {
        match error {
            Error::ClassOutOfRange {
                example: Some(index),
                class,
                classes,
            } => Error::ClassOutOfRange {
                example: self.batch.indices.get(index).copied().or(Some(index)),
                class,
                classes,
            },
            other => other,
        }
    }
}
