use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{Augmentation, Dataset};
use crate::error::Result;
use crate::graph::NodeId;
use crate::optim::{Clip, Optimizer, RmsProp, non_negative, require};
use crate::preprocess::Preprocessing;
use crate::train::cache::FeatureCache;
use crate::train::loss::Loss;
use crate::train::metrics::{Metric, check_metrics};

use super::group::ParameterGroup;
use super::schedule::Schedule;

/// How a model is to be trained, as set on the trainer.
#[derive(Clone, Debug)]
pub(in crate::train) struct Settings {
    pub(in crate::train) optimizer: Optimizer,
    pub(in crate::train) loss: Loss,
    /// `None`: those that suit the loss.
    pub(in crate::train) metrics: Option<Vec<Metric>>,
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
    pub(in crate::train) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        self.optimizer.check()?;
        non_negative("a decay by layer", self.layer_decay)?;
        self.groups
            .iter()
            .try_for_each(|(_, group)| group.check())?;
        self.clip.check()?;
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

    pub(in crate::train) fn is_interrupted(&self) -> bool {
        let flag = self.stop_flag.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}
