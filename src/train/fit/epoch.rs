use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use crate::data::{Dataset, Loader};
use crate::error::{Error, Result, TrainingError};
use crate::train::cache::{FeatureCaches, NotCached};
use crate::train::callbacks::ControlFlow;
use crate::train::history::{Finding, StopReason};

use super::learner::Learner;
use super::training_model::{Start, TrainingModel};

pub(super) struct Epochs<'a> {
    pub(super) model: TrainingModel<'a>,
    pub(super) learner: Learner<'a>,
    pub(super) loader: Loader<'a>,
    pub(super) validation: Option<&'a dyn Dataset>,
    pub(super) caches: &'a mut FeatureCaches,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EpochEnd {
    Whole,
    Stopped,
    Interrupted,
}

pub(super) fn of_validation(error: Error) -> Error {
    TrainingError::Validation(Box::new(error)).into()
}

impl Epochs<'_> {
    pub(super) fn run(&mut self) -> Result<()> {
        // After a panic in custom code, the history must not say that all is well.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_all()));
        let outcome = outcome.unwrap_or_else(|panic| {
            self.learner.progress.ended = StopReason::Failed;
            resume_unwind(panic)
        });
        self.model.model().free_buffers();
        match outcome {
            Ok(()) => self.learner.finish(self.model.model()),
            Err(error) => {
                self.learner.fail(self.model.model());
                Err(error)
            }
        }
    }

    fn run_all(&mut self) -> Result<()> {
        let mut is_first = true;
        while self.learner.goes_on() {
            let started = Instant::now();
            let from_cache = if std::mem::take(&mut is_first) {
                self.fill_caches()?;
                self.caches.are_reused()
            } else {
                self.caches.train.is_some()
            };
            let mut end = self.train()?;
            let mut measured = None;
            if let (EpochEnd::Whole, Some(validation)) = (end, self.validation) {
                let features = self.caches.validation.as_ref();
                let settings = self.learner.settings;
                let is_interrupted = || settings.requested.is_interrupted();
                let found = self.model.measure(validation, features, &is_interrupted);
                let found = found.map_err(of_validation)?;
                measured = Some(found.evaluation);
                if found.was_interrupted {
                    end = EpochEnd::Interrupted;
                }
            }
            self.learner.progress.seconds += started.elapsed().as_secs_f64();
            match end {
                EpochEnd::Whole => {
                    let model = self.model.model();
                    self.learner.finish_epoch(model, measured, from_cache)?;
                }
                // The learner knows which callback stopped it.
                EpochEnd::Stopped => {}
                EpochEnd::Interrupted => self.learner.progress.ended = StopReason::Interrupted,
            }
        }
        Ok(())
    }

    fn fill_caches(&mut self) -> Result<()> {
        let Learner {
            settings, progress, ..
        } = &mut self.learner;
        progress.cache = None;
        let earlier = std::mem::take(self.caches);
        let Some(layer) = self.model.cached_layer().map(str::to_string) else {
            return Ok(());
        };
        let data = self.loader.dataset();
        match self.model.cache(data, earlier.train, true) {
            Ok(features) => self.caches.train = Some(features),
            Err(NotCached::Failed(error)) => return Err(error),
            Err(NotCached::Because(reason)) => {
                let requested = settings.requested;
                // With augmentation this is intended.
                if requested.augmentation.is_none() && !requested.is_interrupted() {
                    let reason = reason.to_string();
                    progress.note(Finding::FeaturesNotKept { layer, reason });
                }
                return Ok(());
            }
        }
        if let Some(data) = self.validation {
            self.caches.validation = match self.model.cache(data, earlier.validation, false) {
                Ok(features) => Some(features),
                Err(NotCached::Failed(error)) => return Err(of_validation(error)),
                Err(NotCached::Because(_)) => None,
            };
        }
        progress.cache = Some(self.caches.report(layer));
        Ok(())
    }

    /// Trains on the rest of the epoch.
    fn train(&mut self) -> Result<EpochEnd> {
        let Self {
            model,
            learner,
            loader,
            caches,
            ..
        } = self;
        let start = Start {
            epoch: learner.progress.epoch,
            batch: learner.progress.batch,
        };
        let mut end = EpochEnd::Whole;
        model.batches(loader, caches.train.as_ref(), start, |batch| {
            end = match learner.step(model, &batch)? {
                ControlFlow::Stop => EpochEnd::Stopped,
                ControlFlow::Continue if learner.settings.requested.is_interrupted() => {
                    EpochEnd::Interrupted
                }
                ControlFlow::Continue => EpochEnd::Whole,
            };
            Ok(end == EpochEnd::Whole)
        })?;
        Ok(end)
    }
}
