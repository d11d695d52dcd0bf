use candle_core::{DType, Tensor};
use sha2::{Digest, Sha256};

use crate::data::{Batch, Loader, Targets};
use crate::error::Result;
use crate::model::Model;
use crate::train::history::CacheReport;
use crate::weights::hash_tensor;

use super::store::Store;

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
    fn all(&self) -> impl Iterator<Item = &CachedFeatures> {
        self.train.iter().chain(&self.validation)
    }

    /// Whether training needs to compute no features.
    pub(in crate::train) fn are_reused(&self) -> bool {
        self.train.is_some() && self.all().all(|features| features.is_reused)
    }

    pub(in crate::train) fn report(&self, layer: String) -> CacheReport {
        CacheReport {
            layer,
            examples: self.all().map(|features| features.weights.len()).sum(),
            memory_bytes: self
                .all()
                .map(|features| features.store.memory_bytes())
                .sum(),
            file_bytes: self.all().map(|features| features.store.file_bytes()).sum(),
        }
    }
}

impl CachedFeatures {
    /// With features of the epoch's view, on the reader's device.
    pub(in crate::train) fn batch(
        &self,
        indices: &[usize],
        epoch: u64,
        reader: &Model,
    ) -> Result<Batch> {
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
        Ok(Batch {
            inputs: self.store.rows(&rows)?.to_device(reader.device())?,
            targets,
            weights,
            indices: indices.to_vec(),
        })
    }
}

/// The inputs that features are computed from.
pub(in crate::train) struct Source<'a> {
    pub(in crate::train) front: &'a Model,
    /// Loads the examples in order.
    pub(in crate::train) loader: &'a Loader<'a>,
    /// Describes everything that happens to an example before the network.
    pub(in crate::train) preparation: String,
    /// Views of each example.
    pub(in crate::train) views: u64,
    /// Called after each batch.
    pub(in crate::train) is_interrupted: &'a dyn Fn() -> bool,
}

/// Features with the same key are the same.
#[derive(PartialEq, Eq)]
pub(super) struct FeatureKey {
    /// SHA-256 of the model and the preparation.
    hash: [u8; 32],
    fingerprints: Vec<u64>,
    pub(super) views: u64,
}

impl FeatureKey {
    pub(super) fn examples(&self) -> usize {
        self.fingerprints.len()
    }
}

impl Source<'_> {
    /// `None` if the data set has no fingerprints.
    pub(super) fn key(&self) -> Result<Option<FeatureKey>> {
        let dataset = self.loader.dataset();
        let fingerprints = (0..dataset.len()).map(|index| dataset.fingerprint(index));
        let Some(fingerprints) = fingerprints.collect() else {
            return Ok(None);
        };
        Ok(Some(FeatureKey {
            hash: self.hash()?,
            fingerprints,
            views: self.views,
        }))
    }

    fn hash(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(format!("{} {:?}", self.preparation, self.front.dtype()));
        for node in self.front.graph().nodes() {
            let (name, layer, shape) = (node.name(), node.layer(), node.shape());
            hash.update(format!("{name} {layer:?} {shape:?}"));
        }
        for parameter in self.front.parameters() {
            hash.update(format!("{} {}", parameter.layer, parameter.name));
            hash_tensor(&parameter.tensor.to_dtype(DType::F32)?, &mut hash)?;
        }
        Ok(hash.finalize().into())
    }
}
