use std::collections::HashSet;

use candle_core::Tensor;

use crate::data::{Batch, Dataset, Loader};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Pick};
use crate::model::Model;
use crate::train::cache::{CachedFeatures, NotCached, Source, fill};
use crate::train::history::Baseline;
use crate::train::loss::BatchLoss;
use crate::train::metrics::{Evaluation, Scores, Tally};
use crate::train::settings::ResolvedSettings;

/// A model as a `fit` runs it: all layers, or only those after the frozen layers
/// whose output is cached.
pub(super) struct TrainingModel<'a> {
    whole: &'a Model,
    prefix: Option<FrozenPrefix>,
    /// What the loss reads.
    pick: Pick,
    settings: &'a ResolvedSettings<'a>,
}

/// A batch of examples, or of their features after the frozen layers.
pub(super) struct TrainingBatch {
    batch: Batch,
    has_features: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Start {
    pub(super) epoch: u64,
    /// Batches to skip.
    pub(super) batch: usize,
}

/// An evaluation, of part of the data if it was interrupted.
pub(super) struct Measurement {
    pub(super) evaluation: Evaluation,
    pub(super) was_interrupted: bool,
}

impl<'a> TrainingModel<'a> {
    pub(super) fn whole(model: &'a Model, settings: &'a ResolvedSettings<'a>) -> Self {
        Self {
            whole: model,
            prefix: None,
            pick: settings.requested.loss.input(model.graph()),
            settings,
        }
    }

    /// Splits the model if features may be cached.
    pub(super) fn new(model: &'a Model, settings: &'a ResolvedSettings<'a>) -> Self {
        let may_keep = settings.requested.cache.is_on;
        Self {
            prefix: may_keep.then(|| FrozenPrefix::of(model)).flatten(),
            ..Self::whole(model, settings)
        }
    }

    pub(super) fn model(&self) -> &'a Model {
        self.whole
    }

    pub(super) fn cached_layer(&self) -> Option<&str> {
        self.prefix.as_ref().map(|prefix| prefix.layer.as_str())
    }

    pub(super) fn scores(&self, batch: &TrainingBatch, training: bool) -> Result<Tensor> {
        let model = match batch.has_features {
            true => self.back(),
            false => self.whole,
        };
        let mut values = model.run(&batch.batch.inputs, &[self.pick], training)?;
        Ok(values.remove(0))
    }

    pub(super) fn loss(&self, batch: &TrainingBatch, scores: &Tensor) -> Result<BatchLoss> {
        let (loss, batch) = (&self.settings.requested.loss, &batch.batch);
        let loss = loss.of_network(self.whole.graph(), scores, batch);
        loss.map_err(|error| locate(error, batch))
    }

    pub(super) fn count(
        &self,
        batch: &TrainingBatch,
        scores: &Tensor,
        loss: &BatchLoss,
        tally: &mut Tally,
    ) -> Result<()> {
        let batch = &batch.batch;
        let requested = self.settings.requested;
        let scores = Scores::new(scores, &batch.targets, &requested.loss, requested.threshold);
        let counted = tally.count(&self.settings.metrics, loss.value, &scores);
        counted.map_err(|error| locate(error, batch))
    }

    /// `batch` is the first of a `fit`.
    pub(super) fn baseline(
        &self,
        batch: &TrainingBatch,
        scores: &Tensor,
        loss: &BatchLoss,
    ) -> Result<Baseline> {
        let kind = &self.settings.requested.loss;
        let chance = match kind.is_custom() {
            true => None,
            false => Some(self.loss(batch, &scores.zeros_like()?)?.value),
        };
        Ok(Baseline {
            first: loss.value,
            chance,
            is_of_classes: kind.has_logits(),
        })
    }

    pub(super) fn measure(
        &self,
        data: &dyn Dataset,
        features: Option<&CachedFeatures>,
        is_interrupted: &dyn Fn() -> bool,
    ) -> Result<Measurement> {
        let loader = self.settings.plain_loader(data, self.whole);
        let mut tally = Tally::default();
        let mut was_interrupted = false;
        self.batches(&loader, features, Start::default(), |batch| {
            let scores = self.scores(&batch, false)?;
            let loss = self.loss(&batch, &scores)?;
            self.count(&batch, &scores, &loss, &mut tally)?;
            was_interrupted = is_interrupted();
            Ok(!was_interrupted)
        })?;
        Ok(Measurement {
            evaluation: tally.evaluation(&self.settings.metrics),
            was_interrupted,
        })
    }

    fn back(&self) -> &Model {
        self.prefix
            .as_ref()
            .map_or(self.whole, |prefix| &prefix.back)
    }

    /// Training data are augmented as for training.
    pub(super) fn cache(
        &self,
        data: &dyn Dataset,
        earlier: Option<CachedFeatures>,
        training: bool,
    ) -> Result<CachedFeatures, NotCached> {
        let settings = self.settings;
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
        // Mixed targets hold a fraction for each class.
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

    /// Ends early when `consume` returns false or fails.
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
            let chunks = order
                .chunks(self.settings.requested.batch_size)
                .take(loader.batches());
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

/// Names an error's example by its index in the data set, not in the batch.
fn locate(error: Error, batch: &Batch) -> Error {
    match error {
        Error::ClassOutOfRange {
            example: Some(index),
            class,
            classes,
        } => Error::ClassOutOfRange {
            example: batch.indices.get(index).copied().or(Some(index)),
            class,
            classes,
        },
        other => other,
    }
}

/// A model split after the last layer whose output training does not change.
struct FrozenPrefix {
    /// The last layer of the front.
    layer: String,
    front: Model,
    back: Model,
}

impl FrozenPrefix {
    /// Splits a model where a single value passes from constant layers to the
    /// others. `None` if there is no such node after a layer with parameters.
    fn of(model: &Model) -> Option<Self> {
        let graph = model.graph();
        let constant = constant_nodes(graph);
        let candidates = graph.nodes().rev();
        let mut candidates = candidates
            .filter(|node| constant.contains(&node.id()) && depends_on_parameters(graph, node));
        candidates.find_map(|node| {
            let (front, back) = model.parts_at(node.id()).ok()?;
            Some(Self {
                layer: node.name().to_string(),
                front,
                back,
            })
        })
    }
}

/// The nodes whose output for an example never changes.
fn constant_nodes(graph: &Graph) -> HashSet<NodeId> {
    let mut constant = HashSet::new();
    for node in graph.nodes() {
        if is_constant(node) && node.inputs().iter().all(|input| constant.contains(input)) {
            constant.insert(node.id());
        }
    }
    constant
}

fn is_constant(node: &Node) -> bool {
    !node.layer().rules().is_random() && (node.is_frozen() || node.parameters().is_empty())
}

/// Without parameters there is nothing to save.
fn depends_on_parameters(graph: &Graph, node: &Node) -> bool {
    let needed = graph.ancestors(&[node.id()]);
    let mut needed = graph.nodes().filter(|node| needed.contains(&node.id()));
    needed.any(|node| !node.parameters().is_empty())
}
