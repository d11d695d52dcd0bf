use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{Augmentation, Dataset, Loader};
use crate::error::{Result, TrainingError};
use crate::graph::NodeId;
use crate::model::Model;
use crate::optim::{Clip, Optimizer, RmsProp};
use crate::preprocess::Preprocessing;

use super::cache::FeatureCache;
use super::group::{ParameterGroup, check_rate};
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
        check_rate("a decay by layer", self.layer_decay)?;
        self.clip.check()?;
        if self
            .metrics()
            .iter()
            .any(|m| matches!(m, Metric::TopAccuracy(0)))
        {
            return Err(TrainingError::Setting {
                setting: "a top accuracy of 0 classes".to_string(),
                reason: "is always 0; take at least 1",
            }
            .into());
        }
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

    pub(super) fn metrics(&self) -> &[Metric] {
        static ACCURACY: [Metric; 1] = [Metric::Accuracy];
        match &self.metrics {
            Some(metrics) => metrics,
            None if self.loss.is_regression() => &[],
            None => &ACCURACY,
        }
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
        match &self.preprocessing {
            Some(preprocessing) => loader.preprocessing(preprocessing.clone()),
            None => loader,
        }
    }
}
