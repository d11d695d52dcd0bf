use candle_core::Tensor;

use crate::data::{Dataset, Loader};
use crate::error::Result;
use crate::graph::Pick;
use crate::model::Model;
use crate::train::cache::{CachedFeatures, NotCached, Source, fill};
use crate::train::settings::ResolvedSettings;

use super::batch::TrainingBatch;
use super::frozen_prefix::FrozenPrefix;

/// A model as a `fit` runs it: whole, or only the layers after the frozen ones
/// whose output is kept.
pub(super) struct TrainingModel<'a> {
    whole: &'a Model,
    prefix: Option<FrozenPrefix>,
    /// What the loss reads.
    pick: Pick,
    batch_size: usize,
}

/// Where an epoch begins.
#[derive(Clone, Copy, Default)]
pub(super) struct Start {
    pub(super) epoch: u64,
    /// Batches to skip.
    pub(super) batch: usize,
}

impl<'a> TrainingModel<'a> {
    pub(super) fn whole(model: &'a Model, settings: &ResolvedSettings<'_>) -> Self {
        Self {
            whole: model,
            prefix: None,
            pick: settings.requested.loss.input(model.graph()),
            batch_size: settings.requested.batch_size,
        }
    }

    /// Splits the model if features may be kept.
    pub(super) fn new(model: &'a Model, settings: &ResolvedSettings<'_>) -> Self {
        let may_keep = settings.requested.cache.is_on;
        Self {
            prefix: may_keep.then(|| FrozenPrefix::of(model)).flatten(),
            ..Self::whole(model, settings)
        }
    }

    pub(super) fn model(&self) -> &'a Model {
        self.whole
    }

    /// The layer whose output may be kept.
    pub(super) fn cached_layer(&self) -> Option<&str> {
        self.prefix.as_ref().map(|prefix| prefix.layer.as_str())
    }

    /// What the loss reads.
    pub(super) fn scores(&self, batch: &TrainingBatch, training: bool) -> Result<Tensor> {
        let model = match batch.has_features {
            true => self.back(),
            false => self.whole,
        };
        let mut values = model.run(&batch.batch.inputs, &[self.pick], training)?;
        Ok(values.remove(0))
    }

    fn back(&self) -> &Model {
        self.prefix
            .as_ref()
            .map_or(self.whole, |prefix| &prefix.back)
    }

    /// Keeps the features of a data set: of training data augmented as for
    /// training.
    pub(super) fn cache(
        &self,
        data: &dyn Dataset,
        settings: &ResolvedSettings<'_>,
        earlier: Option<CachedFeatures>,
        training: bool,
    ) -> Result<CachedFeatures, NotCached> {
        let requested = settings.requested;
        let Some(prefix) = &self.prefix else {
            return Err(NotCached::Because(
                "no frozen layers come before the first that is trained",
            ));
        };
        let augmentation = requested.augmentation.as_ref().filter(|_| training);
        let (loader, views) = match augmentation {
            Some(_) => {
                let loader = settings.augmented_loader(data, self.whole);
                (loader, requested.cache.views)
            }
            None => (settings.plain_loader(data, self.whole), 1),
        };
        if views == 0 {
            return Err(NotCached::Because(
                "examples are augmented differently in every epoch",
            ));
        }
        let preprocessing = &settings.preprocessing;
        let seed = augmentation.map(|_| requested.seed);
        // Mixed targets hold a fraction for each of them.
        let classes = data.classes().map(|labels| labels.len());
        let source = Source {
            front: &prefix.front,
            loader: &loader,
            preparation: format!("{preprocessing:?} {augmentation:?} {seed:?} {classes:?}"),
            views,
            is_interrupted: &|| requested.is_interrupted(),
        };
        fill(&source, &requested.cache, earlier)
    }

    /// Gives `consume` the batches of an epoch until it returns false or fails.
    pub(super) fn batches(
        &self,
        loader: &Loader<'_>,
        features: Option<&CachedFeatures>,
        start: Start,
        mut consume: impl FnMut(TrainingBatch) -> Result<bool>,
    ) -> Result<()> {
        let Start {
            epoch,
            batch: skipped,
        } = start;
        if let Some(features) = features {
            let order = loader.order(epoch);
            let chunks = order.chunks(self.batch_size).take(loader.batches());
            for indices in chunks.skip(skipped) {
                let batch = TrainingBatch {
                    batch: features.batch(indices, epoch, self.back())?,
                    has_features: true,
                };
                if !consume(batch)? {
                    break;
                }
            }
            return Ok(());
        }
        loader.ahead(epoch, |batches| {
            for (index, batch) in batches.enumerate() {
                let batch = TrainingBatch {
                    batch: batch?,
                    has_features: false,
                };
                if index >= skipped && !consume(batch)? {
                    break;
                }
            }
            Ok(())
        })
    }
}
