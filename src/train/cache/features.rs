use candle_core::Tensor;

use crate::data::Targets;
use crate::error::Result;
use crate::model::Model;

use super::key::FeatureKey;
use super::store::Store;

/// The features of a data set, with their targets and weights.
pub(in crate::train) struct CachedFeatures {
    pub(super) key: FeatureKey,
    pub(super) store: Store,
    pub(super) targets: CachedTargets,
    pub(super) weights: Vec<f32>,
    /// Whether they come from an earlier `fit`.
    pub(super) is_reused: bool,
}

pub(super) enum CachedTargets {
    Classes(Vec<usize>),
    Soft(Vec<Tensor>),
    Values(Vec<Tensor>),
}

/// The features of the data that a trainer trained on last.
#[derive(Default)]
pub(in crate::train) struct FeatureCaches {
    pub(in crate::train) train: Option<CachedFeatures>,
    pub(in crate::train) validation: Option<CachedFeatures>,
}

impl FeatureCaches {
    pub(in crate::train) fn all(&self) -> impl Iterator<Item = &CachedFeatures> {
        self.train.iter().chain(&self.validation)
    }

    /// Whether training needs to compute no features.
    pub(in crate::train) fn are_reused(&self) -> bool {
        self.train.is_some() && self.all().all(|features| features.is_reused)
    }
}

/// A batch whose inputs are features.
pub(in crate::train) struct FeatureBatch {
    pub(in crate::train) inputs: Tensor,
    pub(in crate::train) targets: Targets,
    pub(in crate::train) weights: Option<Tensor>,
}

impl CachedFeatures {
    /// Number of rows: examples times views.
    pub(in crate::train) fn rows(&self) -> usize {
        self.weights.len()
    }

    pub(in crate::train) fn memory_bytes(&self) -> u64 {
        self.store.memory_bytes()
    }

    pub(in crate::train) fn file_bytes(&self) -> u64 {
        self.store.file_bytes()
    }

    /// The features of these examples, of the view that the epoch uses, on the
    /// device of the model that reads them.
    pub(in crate::train) fn batch(
        &self,
        indices: &[usize],
        epoch: u64,
        reader: &Model,
    ) -> Result<FeatureBatch> {
        let view = usize::try_from(epoch % self.key.views.max(1)).unwrap_or(0);
        let offset = view * self.key.examples();
        let rows: Vec<usize> = indices.iter().map(|index| offset + index).collect();
        let stack = |targets: &[Tensor]| -> Result<Tensor> {
            let rows: Vec<&Tensor> = rows.iter().map(|&row| &targets[row]).collect();
            Ok(Tensor::stack(&rows, 0)?)
        };
        let targets = match &self.targets {
            CachedTargets::Classes(classes) => {
                Targets::Classes(rows.iter().map(|&row| classes[row]).collect())
            }
            CachedTargets::Soft(targets) => Targets::Soft(stack(targets)?),
            CachedTargets::Values(targets) => Targets::Values(stack(targets)?),
        };
        let weights: Vec<f32> = rows.iter().map(|&row| self.weights[row]).collect();
        let weights = match weights.iter().all(|&weight| weight == 1.0) {
            true => None,
            false => Some(Tensor::new(weights, reader.device())?),
        };
        Ok(FeatureBatch {
            inputs: self.store.rows(&rows)?.to_device(reader.device())?,
            targets,
            weights,
        })
    }
}
