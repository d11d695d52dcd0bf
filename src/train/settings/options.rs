use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{Augmentation, Dataset, Loader, Target};
use crate::error::{Result, TrainingError, require};
use crate::graph::NodeId;
use crate::model::Model;
use crate::optim::{Clip, Optimizer, RmsProp, non_negative};
use crate::preprocess::Preprocessing;
use crate::shape::Shape;
use crate::train::cache::FeatureCache;
use crate::train::history::DataSettings;
use crate::train::loss::Loss;
use crate::train::metrics::{Metric, check_metrics};

use super::group::ParameterGroup;
use super::schedule::Schedule;

#[derive(Clone, Debug)]
pub(in crate::train) struct Settings {
    pub(in crate::train) optimizer: Optimizer,
    pub(in crate::train) loss: Loss,
    /// `None`: the metrics that suit the loss.
    pub(in crate::train) metrics: Option<Vec<Metric>>,
    /// A probability.
    pub(in crate::train) threshold: f64,
    pub(in crate::train) epochs: u64,
    pub(in crate::train) schedule: Schedule,
    pub(in crate::train) groups: Vec<(Vec<NodeId>, ParameterGroup)>,
    /// Factor on the learning rate for each later layer with parameters.
    pub(in crate::train) layer_decay: f64,
    pub(in crate::train) clip: Clip,
    pub(in crate::train) batch_size: usize,
    pub(in crate::train) seed: u64,
    pub(in crate::train) shuffles: bool,
    pub(in crate::train) drop_last: bool,
    pub(in crate::train) prefetch: usize,
    pub(in crate::train) preprocessing: Option<Preprocessing>,
    pub(in crate::train) augmentation: Option<Augmentation>,
    pub(in crate::train) cache: FeatureCache,
    pub(in crate::train) stop_flag: Option<Arc<AtomicBool>>,
    pub(in crate::train) checkpoint_on_stop: Option<PathBuf>,
}

/// Checked, with defaults that suit the model and the data.
pub(in crate::train) struct ResolvedSettings<'a> {
    pub(in crate::train) requested: &'a Settings,
    pub(in crate::train) metrics: Vec<Metric>,
    pub(in crate::train) preprocessing: Option<Preprocessing>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            optimizer: RmsProp::default().into(),
            loss: Loss::default(),
            metrics: None,
            threshold: 0.5,
            epochs: 1,
            schedule: Schedule::default(),
            groups: Vec::new(),
            layer_decay: 1.0,
            clip: Clip::None,
            batch_size: 32,
            seed: 0,
            shuffles: true,
            drop_last: false,
            prefetch: 2,
            preprocessing: None,
            augmentation: None,
            cache: FeatureCache::default(),
            stop_flag: None,
            checkpoint_on_stop: None,
        }
    }
}

impl Settings {
    pub(in crate::train) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        self.optimizer.check()?;
        non_negative("a decay by layer", self.layer_decay)?;
        self.groups
            .iter()
            .try_for_each(|(_, group)| group.check())?;
        self.clip.check()?;
        require(
            self.threshold > 0.0 && self.threshold < 1.0,
            format_args!("a threshold of {}", self.threshold),
            "must be between 0 and 1",
        )?;
        check_metrics(self.metrics.as_deref().unwrap_or_default())?;
        require(
            self.batch_size > 0,
            "a batch size of 0",
            "must be at least 1",
        )
    }

    /// Refuses to leave out all examples.
    pub(in crate::train) fn check_batches(&self, train: &dyn Dataset) -> Result<()> {
        let (examples, batch_size) = (train.len(), self.batch_size);
        require(
            !(self.drop_last && (1..batch_size).contains(&examples)),
            format_args!("drop_last(true) with {examples} examples and batches of {batch_size}"),
            "leaves no batch; make batches smaller",
        )
    }

    pub(in crate::train) fn data_settings(&self, train: &dyn Dataset) -> DataSettings {
        DataSettings {
            examples: train.len(),
            batch_size: self.batch_size,
            seed: self.seed,
            shuffles: self.shuffles,
        }
    }

    pub(in crate::train) fn is_interrupted(&self) -> bool {
        let flag = self.stop_flag.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(in crate::train) fn resolve(
        &self,
        model: &Model,
        data: &dyn Dataset,
    ) -> Result<ResolvedSettings<'_>> {
        self.check()?;
        self.check_labels(data)?;
        let graph = model.graph();
        Ok(ResolvedSettings {
            requested: self,
            metrics: match &self.metrics {
                Some(metrics) => metrics.clone(),
                None if is_vector(model) && self.has_classes(data)? => vec![Metric::Accuracy],
                None => Vec::new(),
            },
            preprocessing: match &self.preprocessing {
                Some(preprocessing) => Some(graph.at_input_size(preprocessing)),
                None => graph.input_preprocessing().ok(),
            },
        })
    }

    /// Refuses the loss of one class for examples that have several labels, which it
    /// would take for fractions of classes.
    fn check_labels(&self, data: &dyn Dataset) -> Result<()> {
        if data.labels_of(0).is_none() || !self.loss.is_cross_entropy() {
            return Ok(());
        }
        Err(TrainingError::Targets {
            loss: self.loss.name(),
            expected: "one class for each example (for several labels set \
                       Loss::binary_cross_entropy(), and end the network in a sigmoid)"
                .to_string(),
            actual: "several labels for each".to_string(),
        }
        .into())
    }

    fn has_classes(&self, data: &dyn Dataset) -> Result<bool> {
        if self.loss.has_logits() {
            return Ok(true);
        }
        if self.loss.is_regression() || data.is_empty() {
            return Ok(false);
        }
        // A custom loss may be about anything.
        if data.class_of(0).is_some() {
            return Ok(true);
        }
        Ok(!matches!(
            data.sample(0)?.target,
            Target::Values(_) | Target::Mask(_)
        ))
    }
}

fn is_vector(model: &Model) -> bool {
    let outputs = model.graph().output_shapes();
    matches!(outputs.first(), Some(Shape::Vector { .. }))
}

impl ResolvedSettings<'_> {
    pub(in crate::train) fn training_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let requested = self.requested;
        let loader = self.augmented_loader(data, model);
        let loader = loader.drop_last(requested.drop_last);
        if requested.shuffles {
            loader.shuffle(requested.seed)
        } else {
            loader
        }
    }

    /// Every example once, in order, augmented as for training.
    pub(in crate::train) fn augmented_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = self.plain_loader(data, model).seed(self.requested.seed);
        match &self.requested.augmentation {
            Some(augmentation) => loader.augment(augmentation.clone()),
            None => loader,
        }
    }

    /// Every example once, in order, without augmentation.
    pub(in crate::train) fn plain_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = Loader::for_model(data, model)
            .batch_size(self.requested.batch_size)
            .prefetch(self.requested.prefetch);
        match &self.preprocessing {
            Some(preprocessing) => loader.preprocessing(preprocessing.clone()),
            None => loader,
        }
    }
}
