use candle_core::{DType, Device, Tensor};

use crate::data::{Batch, Targets};
use crate::error::{Error, Result};
use crate::model::Model;

use super::features::{CachedFeatures, CachedTargets, Source};
use super::options::FeatureCache;
use super::store::Store;

pub(in crate::train) enum NotCached {
    /// Training goes on without a cache, for this reason.
    Because(&'static str),
    Failed(Error),
}

impl From<Error> for NotCached {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<candle_core::Error> for NotCached {
    fn from(error: candle_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl NotCached {
    /// If the file can't be written, training goes on without a cache.
    fn of_file(error: Error) -> Self {
        match error {
            Error::Io { .. } => Self::Because("the file for the features can't be written"),
            error => Self::Failed(error),
        }
    }
}

/// The earlier features if they still fit, else new ones.
pub(in crate::train) fn fill(
    source: &Source<'_>,
    cache: &FeatureCache,
    earlier: Option<CachedFeatures>,
) -> Result<CachedFeatures, NotCached> {
    if source.front.dtype() == DType::F64 {
        return Err(NotCached::Because(
            "features are cached as f32, but the model is f64",
        ));
    }
    let key = source.key()?.ok_or(NotCached::Because(
        "the data set has no fingerprints of its examples (Dataset::fingerprint)",
    ))?;
    if let Some(features) = earlier
        && features.key == key
    {
        return Ok(CachedFeatures {
            is_reused: true,
            ..features
        });
    }
    let views = usize::try_from(source.views).unwrap_or(1);
    let mut filling = Filling {
        cache,
        rows: key.examples().saturating_mul(views),
        store: None,
        targets: None,
        weights: Vec::new(),
    };
    for view in 0..source.views {
        filling.push_view(source, view)?;
    }
    let (Some(mut store), Some(targets)) = (filling.store, filling.targets) else {
        return Err(NotCached::Because("the data set is empty"));
    };
    store.finish().map_err(NotCached::of_file)?;
    Ok(CachedFeatures {
        key,
        store,
        targets,
        weights: filling.weights,
        is_reused: false,
    })
}

struct Filling<'a> {
    cache: &'a FeatureCache,
    rows: usize,
    store: Option<Store>,
    targets: Option<CachedTargets>,
    weights: Vec<f32>,
}

impl Filling<'_> {
    fn push_view(&mut self, source: &Source<'_>, view: u64) -> Result<(), NotCached> {
        source.loader.ahead(view, |batches| {
            for batch in batches {
                self.push(source.front, batch?)?;
                if (source.is_interrupted)() {
                    return Err(NotCached::Because("training was interrupted"));
                }
            }
            Ok(())
        })
    }

    fn push(&mut self, front: &Model, batch: Batch) -> Result<(), NotCached> {
        let features = front.forward(&batch.inputs)?;
        let store = self.store(&features)?;
        store.push(&features).map_err(NotCached::of_file)?;
        match &batch.weights {
            Some(weights) => {
                let weights = weights.to_device(&Device::Cpu)?;
                self.weights.extend(weights.to_vec1::<f32>()?);
            }
            None => self.weights.extend(vec![1.0; batch.len()]),
        }
        self.push_targets(batch)
    }

    /// The store, which is made for the first batch.
    fn store(&mut self, features: &Tensor) -> Result<&mut Store, NotCached> {
        if self.store.is_none() {
            let store = Store::new(features, self.rows, self.cache);
            self.store = store.map_err(NotCached::of_file)?;
        }
        self.store.as_mut().ok_or(NotCached::Because(
            "features take more bytes than the limits of the cache allow",
        ))
    }

    fn push_targets(&mut self, batch: Batch) -> Result<(), NotCached> {
        let count = batch.len();
        let rows = |tensor: Tensor| -> candle_core::Result<Vec<Tensor>> {
            (0..count).map(|row| tensor.get(row)).collect()
        };
        let targets = match batch.targets {
            Targets::Classes(classes) => CachedTargets::Classes(classes),
            Targets::Soft(soft) => CachedTargets::Soft(rows(soft)?),
            Targets::Values(values) => CachedTargets::Values(rows(values)?),
        };
        let Some(own) = &mut self.targets else {
            self.targets = Some(targets);
            return Ok(());
        };
        match (own, targets) {
            (CachedTargets::Classes(own), CachedTargets::Classes(more)) => own.extend(more),
            (CachedTargets::Soft(own), CachedTargets::Soft(more))
            | (CachedTargets::Values(own), CachedTargets::Values(more)) => own.extend(more),
            _ => return Err(NotCached::Because("targets are of several kinds")),
        }
        Ok(())
    }
}
