use std::time::Instant;

use crate::data::{Dataset, Loader};
use crate::error::{Error, Result, TrainingError};

use super::cache::Kept;
use super::callback::Flow;
use super::check;
use super::finding::Finding;
use super::group::trained;
use super::history::{CacheReport, Ended, History};
use super::learner::{Learner, scores_of};
use super::metrics::{Evaluation, Tally};
use super::net::Net;
use super::run::DataSettings;
use super::settings::Settings;
use super::trainer::{KeptFeatures, Trainer};

/// One call of `fit` under way.
struct Fit<'a> {
    net: Net<'a>,
    learner: Learner<'a>,
}

/// Why an epoch ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EpochEnd {
    Whole,
    Stopped,
    Interrupted,
}

pub(super) fn fit(
    trainer: &mut Trainer<'_>,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
) -> Result<History> {
    trainer.settings.check()?;
    trainer.settings.check_examples(train)?;
    let (graph, loss) = (trainer.model.graph(), &trainer.settings.loss);
    check::check_targets(graph, loss, train)?;
    if let Some(data) = validation {
        check::check_targets(graph, loss, data).map_err(on_validation)?;
    }
    let other_classes = validation.and_then(|data| check::other_classes(train, data));
    check::adopt_labels(trainer.model, train)?;
    let settings = &trainer.settings.suited(trainer.model, train)?;
    let data = DataSettings {
        examples: train.len(),
        batch_size: settings.batch_size,
        seed: settings.seed,
        shuffles: settings.shuffles,
    };
    let trained = trained(trainer.model, settings)?;
    trainer.optimizer.set_optimizer(settings.optimizer.clone());
    match &trainer.resumed {
        Some(saved) => {
            let callbacks = &mut trainer.callbacks;
            trainer.run = saved.apply(trainer.model, &mut trainer.optimizer, callbacks, &data)?;
            trainer.run.go_on();
        }
        None => trainer.run.begin(),
    }
    trainer.run.data = data;
    for finding in other_classes
        .into_iter()
        .chain(check::unseen_outputs(trainer.model.graph()))
    {
        trainer.run.note(finding);
    }
    let loader = settings.training_loader(train, trainer.model);
    let mut fit = Fit {
        net: Net::new(trainer.model, settings),
        learner: Learner {
            settings,
            trained,
            optimizer: &mut trainer.optimizer,
            batches: loader.batches(),
            end: trainer.run.start.saturating_add(settings.epochs),
            run: &mut trainer.run,
            callbacks: &mut trainer.callbacks,
        },
    };
    fit.learner.start(fit.net.model(), validation.is_some())?;
    // Not before: what was refused so far may be mended and tried again.
    trainer.resumed = None;
    let outcome = fit.epochs(&loader, validation, &mut trainer.kept);
    let history = trainer.history();
    trainer.model.set_note(History::NOTE, history.to_value());
    outcome.map(|()| history)
}

pub(super) fn evaluate(trainer: &Trainer<'_>, data: &dyn Dataset) -> Result<Evaluation> {
    trainer.settings.check()?;
    let settings = trainer.settings.suited(trainer.model, data)?;
    let net = Net::whole(trainer.model, &settings);
    Ok(measure(&net, &settings, data, None, &|| false)?.0)
}

fn on_validation(error: Error) -> Error {
    TrainingError::Validation(Box::new(error)).into()
}

/// Also tells whether it was interrupted before the end.
fn measure(
    net: &Net<'_>,
    settings: &Settings,
    data: &dyn Dataset,
    kept: Option<&Kept>,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<(Evaluation, bool)> {
    let loader = settings.plain_loader(data, net.model());
    let mut tally = Tally::default();
    let mut ended_early = false;
    net.batches(&loader, kept, (0, 0), |batch| {
        let scores = net.scores(&batch, false)?;
        let loss = settings
            .loss
            .grade(&scores, &batch.targets, batch.weights.as_ref())
            .map_err(|error| batch.locate(error))?;
        let scores = scores_of(&scores, &batch.targets, &settings.loss);
        let counted = tally.count(settings.metrics(), loss.value, &scores);
        counted.map_err(|error| batch.locate(error))?;
        ended_early = is_interrupted();
        Ok(!ended_early)
    })?;
    Ok((tally.finish(settings.metrics()), ended_early))
}

impl Fit<'_> {
    fn epochs(
        &mut self,
        loader: &Loader<'_>,
        validation: Option<&dyn Dataset>,
        kept: &mut KeptFeatures,
    ) -> Result<()> {
        let outcome = self.all_epochs(loader, validation, kept);
        self.net.model().free_buffers();
        match outcome {
            Ok(()) => self.learner.finish(self.net.model()),
            Err(error) => {
                self.learner.fail(self.net.model());
                Err(error)
            }
        }
    }

    fn all_epochs(
        &mut self,
        loader: &Loader<'_>,
        validation: Option<&dyn Dataset>,
        kept: &mut KeptFeatures,
    ) -> Result<()> {
        let mut is_first = true;
        while self.learner.goes_on() {
            let started = Instant::now();
            let from_cache = if std::mem::take(&mut is_first) {
                self.keep(loader, validation, kept)?;
                kept.was_there()
            } else {
                kept.train.is_some()
            };
            let mut end = self.epoch(loader, kept.train.as_ref())?;
            let mut measured = None;
            if let (EpochEnd::Whole, Some(validation)) = (end, validation) {
                let kept = kept.validation.as_ref();
                let settings = self.learner.settings;
                let is_interrupted = || settings.is_interrupted();
                let (own, ended_early) =
                    measure(&self.net, settings, validation, kept, &is_interrupted)
                        .map_err(on_validation)?;
                measured = Some(own);
                if ended_early {
                    end = EpochEnd::Interrupted;
                }
            }
            self.learner.run.seconds += started.elapsed().as_secs_f64();
            match end {
                EpochEnd::Whole => {
                    let model = self.net.model();
                    self.learner.finish_epoch(model, measured, from_cache)?;
                }
                EpochEnd::Stopped => self.learner.run.ended = Ended::Stopped,
                EpochEnd::Interrupted => self.learner.run.ended = Ended::Interrupted,
            }
        }
        Ok(())
    }

    /// Keeps what the frozen layers give for all examples, where that goes.
    fn keep(
        &mut self,
        loader: &Loader<'_>,
        validation: Option<&dyn Dataset>,
        kept: &mut KeptFeatures,
    ) -> Result<()> {
        let Learner { settings, run, .. } = &mut self.learner;
        run.cache = None;
        let before = std::mem::take(kept);
        let Some(layer) = self.net.seam().map(str::to_string) else {
            return Ok(());
        };
        let data = loader.dataset();
        kept.train = match self.net.keep(data, settings, before.train, true)? {
            Ok(train) => Some(train),
            Err(reason) => {
                // That is what augmentation is for.
                if settings.augmentation.is_none() && !settings.is_interrupted() {
                    let reason = reason.to_string();
                    run.note(Finding::FeaturesNotKept { layer, reason });
                }
                return Ok(());
            }
        };
        if let Some(validation) = validation {
            let before = before.validation;
            let found = self.net.keep(validation, settings, before, false);
            kept.validation = found.map_err(on_validation)?.ok();
        }
        let all = || kept.train.iter().chain(&kept.validation);
        run.cache = Some(CacheReport {
            layer,
            examples: all().map(Kept::rows).sum(),
            memory_bytes: all().map(Kept::memory_bytes).sum(),
            file_bytes: all().map(Kept::file_bytes).sum(),
        });
        Ok(())
    }

    /// Trains on what is left of the epoch.
    fn epoch(&mut self, loader: &Loader<'_>, kept: Option<&Kept>) -> Result<EpochEnd> {
        let Self { net, learner } = self;
        let place = (learner.run.epoch, learner.run.batch);
        let mut end = EpochEnd::Whole;
        net.batches(loader, kept, place, |batch| {
            end = match learner.step(net, &batch)? {
                Flow::Stop => EpochEnd::Stopped,
                Flow::Continue if learner.settings.is_interrupted() => EpochEnd::Interrupted,
                Flow::Continue => EpochEnd::Whole,
            };
            Ok(end == EpochEnd::Whole)
        })?;
        Ok(end)
    }
}
