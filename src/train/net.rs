//! A model as a `fit` runs it.

use candle_core::Tensor;

use crate::data::{Batch, Dataset, Loader, Targets};
use crate::error::{Error, Result, TrainingError};
use crate::graph::Pick;
use crate::model::Model;

use super::cache::{Kept, Source, fill};
use super::prefix::{Parted, part};
use super::scores;
use super::settings::Settings;

/// The model, whole or without the frozen part whose output is kept.
pub(super) struct Net<'a> {
    whole: &'a Model,
    parted: Option<Parted>,
    pick: Pick,
    batch_size: usize,
}

/// A batch ready for [`Net::scores`].
pub(super) struct Ready {
    pub(super) inputs: Tensor,
    pub(super) targets: Targets,
    pub(super) weights: Option<Tensor>,
    /// The index of each example in its data set.
    indices: Vec<usize>,
    /// Whether the inputs are features.
    is_past_front: bool,
}

impl From<Batch> for Ready {
    fn from(batch: Batch) -> Self {
        Self {
            inputs: batch.inputs,
            targets: batch.targets,
            weights: batch.weights,
            indices: batch.indices,
            is_past_front: false,
        }
    }
}

impl Ready {
    /// Names an error's example by its index in the data set, where it has its
    /// place in the batch.
    pub(super) fn locate(&self, error: Error) -> Error {
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

impl<'a> Net<'a> {
    pub(super) fn whole(model: &'a Model, settings: &Settings) -> Self {
        Self {
            whole: model,
            parted: None,
            pick: scores::pick(model.graph(), &settings.loss),
            batch_size: settings.batch_size.max(1),
        }
    }

    /// Parts the model if features may be kept.
    pub(super) fn new(model: &'a Model, settings: &Settings) -> Self {
        let may_keep = settings.cache.is_on;
        Self {
            parted: if may_keep { part(model) } else { None },
            ..Self::whole(model, settings)
        }
    }

    pub(super) fn model(&self) -> &'a Model {
        self.whole
    }

    /// The layer whose output is kept.
    pub(super) fn seam(&self) -> Option<&str> {
        self.parted.as_ref().map(|parted| parted.layer.as_str())
    }

    /// What the loss is taken of.
    pub(super) fn scores(&self, batch: &Ready, training: bool) -> Result<Tensor> {
        let model = match &self.parted {
            Some(parted) if batch.is_past_front => &parted.back,
            _ => self.whole,
        };
        let mut values = model.run(&batch.inputs, &[self.pick], training)?;
        Ok(values.remove(0))
    }

    /// Keeps the features of a data set, or says why not; those of training
    /// data as they are trained on.
    pub(super) fn keep(
        &self,
        data: &dyn Dataset,
        settings: &Settings,
        before: Option<Kept>,
        training: bool,
    ) -> Result<std::result::Result<Kept, &'static str>> {
        let Some(parted) = &self.parted else {
            return Ok(Err(
                "no frozen layers come before the first that is trained",
            ));
        };
        let augmentation = settings.augmentation.as_ref().filter(|_| training);
        let (loader, views) = match augmentation {
            Some(_) => {
                let loader = settings.ordered_loader(data, self.whole);
                (loader, settings.cache.views)
            }
            None => (settings.plain_loader(data, self.whole), 1),
        };
        if views == 0 {
            return Ok(Err("examples are augmented anew in every epoch"));
        }
        let preprocessing = settings.preprocessing_for(self.whole);
        let seed = augmentation.map(|_| settings.seed);
        // Mixing makes shares of so many.
        let classes = data.classes().map(|labels| labels.len());
        let source = Source {
            front: &parted.front,
            loader: &loader,
            preparation: format!("{preprocessing:?} {augmentation:?} {seed:?} {classes:?}"),
            views,
            is_interrupted: &|| settings.is_interrupted(),
        };
        fill(&source, &settings.cache, before)
    }

    /// A batch of kept features.
    pub(super) fn kept_batch(&self, kept: &Kept, indices: &[usize], epoch: u64) -> Result<Ready> {
        let back = self
            .parted
            .as_ref()
            .map_or(self.whole, |parted| &parted.back);
        let features = kept.batch(indices, epoch, back)?;
        Ok(Ready {
            inputs: features.inputs,
            targets: features.targets,
            weights: features.weights,
            indices: indices.to_vec(),
            is_past_front: true,
        })
    }

    /// Gives `consume` the batches of an epoch, from the `skip`th on, until it
    /// says false or fails.
    pub(super) fn batches(
        &self,
        loader: &Loader<'_>,
        kept: Option<&Kept>,
        (epoch, skip): (u64, usize),
        mut consume: impl FnMut(Ready) -> Result<bool>,
    ) -> Result<()> {
        if let Some(kept) = kept {
            let order = loader.order(epoch);
            let chunks = order.chunks(self.batch_size).take(loader.batches());
            for indices in chunks.skip(skip) {
                if !consume(self.kept_batch(kept, indices, epoch)?)? {
                    break;
                }
            }
            return Ok(());
        }
        loader.ahead(epoch, |batches| {
            for (index, batch) in batches.enumerate() {
                let batch = batch?;
                if index >= skip && !consume(batch.into())? {
                    break;
                }
            }
            Ok(())
        })
    }
}
