use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use crate::data::{Batch, Loader, Targets};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::weights::hash_tensor;

use super::FeatureCache;
use super::store::{Limits, Store};

/// Features of a data set, and what they were computed from.
pub(in crate::train) struct Kept {
    key: [u8; 32],
    fingerprints: Vec<u64>,
    examples: usize,
    views: u64,
    store: Store,
    targets: KeptTargets,
    weights: Vec<f32>,
    was_there: bool,
}

enum KeptTargets {
    Classes(Vec<usize>),
    Soft(Vec<Tensor>),
    Values(Vec<Tensor>),
}

/// What features are computed from.
pub(in crate::train) struct Source<'a> {
    pub(in crate::train) front: &'a Model,
    /// Gives examples in their order.
    pub(in crate::train) loader: &'a Loader<'a>,
    /// All that becomes of an example before it reaches the network, in words.
    pub(in crate::train) preparation: String,
    /// Views of each example.
    pub(in crate::train) views: u64,
    /// Asked after each batch.
    pub(in crate::train) is_interrupted: &'a dyn Fn() -> bool,
}

impl Source<'_> {
    fn key(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(format!("{} {:?}", self.preparation, self.front.dtype()));
        for node in self.front.graph().nodes() {
            hash.update(format!(
                "{} {:?} {:?}",
                node.name(),
                node.layer(),
                node.shape()
            ));
        }
        for parameter in self.front.parameters() {
            hash.update(format!("{} {}", parameter.layer, parameter.name));
            hash_tensor(&parameter.tensor.to_dtype(DType::F32)?, &mut hash)?;
        }
        Ok(hash.finalize().into())
    }

    fn fingerprints(&self) -> Option<Vec<u64>> {
        let dataset = self.loader.dataset();
        (0..dataset.len())
            .map(|index| dataset.fingerprint(index))
            .collect()
    }
}

/// Features of all examples: those kept before if they are still right, else
/// computed anew. `None` with a reason if they can't be kept.
pub(in crate::train) fn fill(
    source: &Source<'_>,
    cache: &FeatureCache,
    before: Option<Kept>,
) -> Result<std::result::Result<Kept, &'static str>> {
    if source.front.dtype() == DType::F64 {
        return Ok(Err("features are kept as f32, and the model is of f64"));
    }
    let Some(fingerprints) = source.fingerprints() else {
        return Ok(Err("the data set gives no fingerprints of its examples"));
    };
    let key = source.key()?;
    if let Some(mut kept) = before
        && kept.key == key
        && kept.fingerprints == fingerprints
        && kept.views == source.views
    {
        kept.was_there = true;
        return Ok(Ok(kept));
    }
    let folder = cache.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut filling = Filling {
        rows: fingerprints
            .len()
            .saturating_mul(usize::try_from(source.views).unwrap_or(1)),
        cache,
        folder,
        store: None,
        targets: None,
        weights: Vec::new(),
    };
    for view in 0..source.views {
        if let Err(reason) = filling.push_view(source, view)? {
            return Ok(Err(reason));
        }
    }
    let (Some(mut store), Some(targets)) = (filling.store, filling.targets) else {
        return Ok(Err("the data set is empty"));
    };
    if let Err(reason) = written(store.finish())? {
        return Ok(Err(reason));
    }
    Ok(Ok(Kept {
        key,
        examples: fingerprints.len(),
        fingerprints,
        views: source.views,
        store,
        targets,
        weights: filling.weights,
        was_there: false,
    }))
}

/// Why features can't be kept, if they can't.
type Filled = std::result::Result<(), &'static str>;

/// A file that can't be written is no reason to end training.
fn written(outcome: Result<()>) -> Result<Filled> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(Error::Io { .. }) => Ok(Err("the file that would hold features can't be written")),
        Err(error) => Err(error),
    }
}

struct Filling<'a> {
    rows: usize,
    cache: &'a FeatureCache,
    folder: PathBuf,
    store: Option<Store>,
    targets: Option<KeptTargets>,
    weights: Vec<f32>,
}

impl Filling<'_> {
    /// Computes and adds a view of all examples.
    fn push_view(&mut self, source: &Source<'_>, view: u64) -> Result<Filled> {
        source.loader.ahead(view, |batches| {
            for batch in batches {
                if let Err(reason) = self.push(source.front, batch?)? {
                    return Ok(Err(reason));
                }
                if (source.is_interrupted)() {
                    return Ok(Err("training was interrupted"));
                }
            }
            Ok(Ok(()))
        })
    }

    /// Computes and adds a batch.
    fn push(&mut self, front: &Model, batch: Batch) -> Result<Filled> {
        let features = front.forward(&batch.inputs)?;
        match written(self.store(&features))? {
            Ok(()) if self.store.is_some() => self.push_rest(batch),
            Ok(()) => Ok(Err("features take more bytes than may be kept")),
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// There is no store if there is no room.
    fn store(&mut self, features: &Tensor) -> Result<()> {
        if self.store.is_none() {
            let limits = Limits {
                memory: self.cache.memory_limit,
                file: self.cache.file_limit,
                folder: &self.folder,
            };
            self.store = Store::new(features, self.rows, &limits)?;
        }
        match &mut self.store {
            Some(store) => store.push(features),
            None => Ok(()),
        }
    }

    fn push_rest(&mut self, batch: Batch) -> Result<Filled> {
        match &batch.weights {
            Some(weights) => self
                .weights
                .extend(weights.to_device(&Device::Cpu)?.to_vec1::<f32>()?),
            None => self.weights.extend(vec![1.0; batch.len()]),
        }
        let rows = |tensor: Tensor| -> Result<Vec<Tensor>> {
            let rows = (0..batch.len()).map(|row| Ok(tensor.get(row)?));
            rows.collect()
        };
        match (&mut self.targets, batch.targets.clone()) {
            (None, Targets::Classes(classes)) => self.targets = Some(KeptTargets::Classes(classes)),
            (None, Targets::Soft(soft)) => self.targets = Some(KeptTargets::Soft(rows(soft)?)),
            (None, Targets::Values(values)) => {
                self.targets = Some(KeptTargets::Values(rows(values)?));
            }
            (Some(KeptTargets::Classes(kept)), Targets::Classes(classes)) => kept.extend(classes),
            (Some(KeptTargets::Soft(kept)), Targets::Soft(soft)) => kept.extend(rows(soft)?),
            (Some(KeptTargets::Values(kept)), Targets::Values(values)) => {
                kept.extend(rows(values)?)
            }
            _ => return Ok(Err("targets are of several kinds")),
        }
        Ok(Ok(()))
    }
}

impl Kept {
    /// Number of rows: examples times views.
    pub(in crate::train) fn rows(&self) -> usize {
        self.weights.len()
    }

    /// Whether nothing had to be computed.
    pub(in crate::train) fn was_there(&self) -> bool {
        self.was_there
    }

    pub(in crate::train) fn memory_bytes(&self) -> u64 {
        self.store.memory_bytes()
    }

    pub(in crate::train) fn file_bytes(&self) -> u64 {
        self.store.file_bytes()
    }

    /// The batch of these examples that an epoch takes, its inputs being
    /// features.
    pub(in crate::train) fn batch(
        &self,
        indices: &[usize],
        epoch: u64,
        back: &Model,
    ) -> Result<Features> {
        let view = usize::try_from(epoch % self.views.max(1)).unwrap_or(0);
        let offset = view * self.examples;
        let rows: Vec<usize> = indices.iter().map(|index| offset + index).collect();
        let inputs = self.store.rows(&rows)?;
        let stack = |kept: &[Tensor]| -> Result<Tensor> {
            let rows: Vec<&Tensor> = rows.iter().map(|&row| &kept[row]).collect();
            Ok(Tensor::stack(&rows, 0)?)
        };
        let targets = match &self.targets {
            KeptTargets::Classes(kept) => {
                Targets::Classes(rows.iter().map(|&row| kept[row]).collect())
            }
            KeptTargets::Soft(kept) => Targets::Soft(stack(kept)?),
            KeptTargets::Values(kept) => Targets::Values(stack(kept)?),
        };
        let weights: Vec<f32> = rows.iter().map(|&row| self.weights[row]).collect();
        let weights = if weights.iter().all(|&weight| weight == 1.0) {
            None
        } else {
            Some(Tensor::new(weights, back.device())?)
        };
        Ok(Features {
            inputs: inputs.to_device(back.device())?,
            targets,
            weights,
        })
    }
}

/// A batch without its pictures.
pub(in crate::train) struct Features {
    pub(in crate::train) inputs: Tensor,
    pub(in crate::train) targets: Targets,
    pub(in crate::train) weights: Option<Tensor>,
}
