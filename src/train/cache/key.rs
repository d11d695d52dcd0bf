use candle_core::DType;
use sha2::{Digest, Sha256};

use crate::data::Loader;
use crate::error::Result;
use crate::model::Model;
use crate::weights::hash_tensor;

/// What features are computed from.
pub(in crate::train) struct Source<'a> {
    pub(in crate::train) front: &'a Model,
    /// Gives the examples in order.
    pub(in crate::train) loader: &'a Loader<'a>,
    /// Describes everything that happens to an example before the network.
    pub(in crate::train) preparation: String,
    /// Views of each example.
    pub(in crate::train) views: u64,
    /// Asked after each batch.
    pub(in crate::train) is_interrupted: &'a dyn Fn() -> bool,
}

/// Features with the same key are the same.
#[derive(PartialEq, Eq)]
pub(super) struct FeatureKey {
    /// SHA-256 of the model and the preparation.
    hash: [u8; 32],
    /// One for each example.
    fingerprints: Vec<u64>,
    pub(super) views: u64,
}

impl FeatureKey {
    pub(super) fn examples(&self) -> usize {
        self.fingerprints.len()
    }
}

impl Source<'_> {
    /// `None` if the data set gives no fingerprints.
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
