use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{Augmentation, Dataset, Loader, Target};
use crate::error::{Result, TrainingError};
use crate::graph::NodeId;
use crate::model::Model;
use crate::optim::{Clip, Optimizer, RmsProp, non_negative};
use crate::preprocess::Preprocessing;
use crate::shape::Shape;

use super::cache::FeatureCache;
use super::group::ParameterGroup;
use super::loss::Loss;
use super::metrics::Metric;
use super::schedule::Schedule;

/// How a model is trained.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) optimizer: Optimizer,
    pub(super) loss: Loss,
    /// `None`: what suits the loss.
    pub(super) metrics: Option<Vec<Metric>>,
    pub(super) epochs: u64,
    pub(super) schedule: Schedule,
    pub(super) groups: Vec<(Vec<NodeId>, ParameterGroup)>,
    /// Factor on the learning rate for each layer with parameters behind.
    pub(super) layer_decay: f64,
    pub(super) clip: Clip,
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) shuffles: bool,
    pub(super) drop_last: bool,
    pub(super) prefetch: usize,
    pub(super) preprocessing: Option<Preprocessing>,
    pub(super) augmentation: Option<Augmentation>,
    pub(super) cache: FeatureCache,
    pub(super) stop_flag: Option<Arc<AtomicBool>>,
    pub(super) checkpoint_on_stop: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            optimizer: RmsProp::default().into(),
            loss: Loss::default(),
            metrics: None,
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
    pub(super) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        self.optimizer.check()?;
        non_negative("a decay by layer", self.layer_decay)?;
        self.clip.check()?;
        check_metrics(self.metrics())?;
        if self.batch_size == 0 {
            return Err(TrainingError::Setting {
                setting: "a batch size of 0".to_string(),
                reason: "must be at least 1",
            }
            .into());
        }
        Ok(())
    }

    /// Refuses to leave out all examples.
    pub(super) fn check_examples(&self, train: &dyn Dataset) -> Result<()> {
        let examples = train.len();
        if self.drop_last && (1..self.batch_size).contains(&examples) {
            return Err(TrainingError::Setting {
                setting: format!(
                    "drop_last(true) with {examples} examples and batches of {}",
                    self.batch_size
                ),
                reason: "leaves no batch; make batches smaller",
            }
            .into());
        }
        Ok(())
    }

    /// Those that were set, of settings that [`Settings::suited`] gave those
    /// that suit besides.
    pub(super) fn metrics(&self) -> &[Metric] {
        self.metrics.as_deref().unwrap_or_default()
    }

    /// These settings with the metrics that suit loss, model and data, if none
    /// were set.
    pub(super) fn suited(&self, model: &Model, data: &dyn Dataset) -> Result<Self> {
        let mut settings = self.clone();
        if settings.metrics.is_none() {
            let tells_apart = is_vector(model) && self.is_about_classes(data)?;
            let accuracy = tells_apart.then_some(Metric::Accuracy);
            settings.metrics = Some(accuracy.into_iter().collect());
        }
        Ok(settings)
    }

    fn is_about_classes(&self, data: &dyn Dataset) -> Result<bool> {
        if self.loss.has_logits() {
            return Ok(true);
        }
        if self.loss.is_regression() || data.is_empty() {
            return Ok(false);
        }
        // A loss of the user's, which may be about anything.
        if data.class_of(0).is_some() {
            return Ok(true);
        }
        Ok(!matches!(data.sample(0)?.target, Target::Values(_)))
    }

    pub(super) fn is_interrupted(&self) -> bool {
        let flag = self.stop_flag.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Batches to train on.
    pub(super) fn training_loader<'a>(&self, data: &'a dyn Dataset, model: &Model) -> Loader<'a> {
        let loader = self.ordered_loader(data, model).drop_last(self.drop_last);
        if self.shuffles {
            loader.shuffle(self.seed)
        } else {
            loader
        }
    }

    /// Every example once, in its order and as it is trained on.
    pub(super) fn ordered_loader<'a>(&self, data: &'a dyn Dataset, model: &Model) -> Loader<'a> {
        let loader = self.plain_loader(data, model).seed(self.seed);
        match &self.augmentation {
            Some(augmentation) => loader.augment(augmentation.clone()),
            None => loader,
        }
    }

    /// Every example once, in its order and as it is.
    pub(super) fn plain_loader<'a>(&self, data: &'a dyn Dataset, model: &Model) -> Loader<'a> {
        let loader = Loader::for_model(data, model)
            .batch_size(self.batch_size)
            .prefetch(self.prefetch);
        match self.preprocessing_for(model) {
            Some(preprocessing) => loader.preprocessing(preprocessing),
            None => loader,
        }
    }

    /// How pictures become what this model takes: as was set, or else in the
    /// model's own way.
    pub(super) fn preprocessing_for(&self, model: &Model) -> Option<Preprocessing> {
        let graph = model.graph();
        match &self.preprocessing {
            Some(preprocessing) => Some(graph.at_input_size(preprocessing)),
            None => graph.input_preprocessing().ok(),
        }
    }
}

fn is_vector(model: &Model) -> bool {
    let outputs = model.graph().output_shapes();
    matches!(outputs.first(), Some(Shape::Vector { .. }))
}

/// Names that stand for something else in a history or at the head of its
/// table.
const RESERVED: [&str; 5] = ["loss", "learning_rate", "epoch", "seconds", "from_cache"];

fn check_metrics(metrics: &[Metric]) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for metric in metrics {
        let name = metric.name();
        let is_separated = |c: char| c == ',' || c == '"' || c.is_control();
        let reason = match metric {
            Metric::TopAccuracy(0) => "is always 0; take at least 1 class",
            _ if name.is_empty() => "has no name to be reported under",
            _ if name.contains(is_separated) => "has a comma, quote or line end in its name",
            _ if RESERVED.contains(&name.as_str()) || name.starts_with("val_") => {
                "is called as something else that is reported; take another name"
            }
            _ if names.contains(&name) => "is there twice; leave one out or rename it",
            _ => {
                names.push(name);
                continue;
            }
        };
        let setting = format!("the metric {name:?}");
        return Err(TrainingError::Setting { setting, reason }.into());
    }
    Ok(())
}
