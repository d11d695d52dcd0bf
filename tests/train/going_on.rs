//! Going on with a run that watched its best epoch, had been stopped, or was
//! refused at first.

use std::path::Path;

use candle_core::Device;
use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{Callback, Checkpoint, StartEvent};
use vgg_surgery::{Adam, EarlyStopping, Error, Loss, Metric, Model, Result, Sgd, Trainer};

use crate::callbacks::{one_weight, weight};
use crate::{built, graph, stopped_by, two_kinds, values, weights};

fn trainer<'m>(model: &'m mut Model, epochs: u64, folder: &Path) -> Trainer<'m> {
    Trainer::new(model)
        .optimizer(Adam::new(1e-3))
        .batch_size(4)
        .epochs(epochs)
        .callback(Checkpoint::new(folder.join("last")))
        .callback(Checkpoint::new(folder.join("best")).best("val_loss"))
}

#[test]
fn a_checkpoint_of_the_best_epoch_leads_on() {
    let (train, validation) = (two_kinds(8, 8, 1), two_kinds(6, 8, 2));
    let run = |epochs: u64, folder: &Path, from: Option<&str>| {
        let mut model = built(graph());
        let mut trainer = trainer(&mut model, epochs, folder);
        if let Some(file) = from {
            trainer = trainer.resume(folder.join(file)).unwrap();
        }
        let history = trainer.fit(&train, &validation).unwrap();
        let best = candle_core::safetensors::load(folder.join("best"), &Device::Cpu).unwrap();
        let best = values(&best["model.head_out.weight"]);
        (history.curve("val_loss"), best, weights(&model))
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = run(4, folder.path(), None);
    for from in ["last", "best"] {
        let folder = tempfile::tempdir().unwrap();
        run(2, folder.path(), None);
        assert_eq!(run(4, folder.path(), Some(from)), expected, "{from}");
    }
}

/// The weight falls by 1 an epoch from 1 on; the fourth epoch is best.
fn watched<'m>(model: &'m mut Model, epochs: u64, file: &Path) -> Trainer<'m> {
    let distance = Metric::custom("distance_error", |scores, _| {
        Ok((f64::from(scores.mean_all()?.to_scalar::<f32>()?) + 3.5).abs())
    });
    Trainer::new(model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::custom(|scores, _| Ok(scores.mean_all()?)))
        .metrics([distance])
        .epochs(epochs)
        .callback(EarlyStopping::new(3).monitor("val_distance_error"))
        .callback(Checkpoint::new(file))
}

#[test]
fn a_run_that_was_stopped_has_nothing_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run");
    let (mut model, data) = one_weight();
    let expected = watched(&mut model, 20, &file).fit(&data, &data).unwrap();
    assert_eq!(
        (expected.epochs.len(), expected.ended),
        (7, stopped_by("EarlyStopping"))
    );
    assert_eq!(weight(&model), -3.0);

    let (mut model, _) = one_weight();
    let mut resumed = watched(&mut model, 20, &file).resume(&file).unwrap();
    let history = resumed.fit(&data, &data).unwrap();
    assert_eq!(
        (history.epochs.len(), history.ended),
        (7, stopped_by("EarlyStopping"))
    );
    assert_eq!(weight(resumed.model()), -3.0);
    // The next fit is one of its own: best at once, then three in vain.
    let history = resumed.fit(&data, &data).unwrap();
    assert_eq!(
        (history.epochs.len(), history.ended),
        (11, stopped_by("EarlyStopping"))
    );
}

/// Resumes after six of seven epochs, with the weights of the fourth restored. The
/// seventh makes the weight -4, and is the third without improvement.
#[test]
fn a_checkpoint_after_a_fit_holds_the_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (every, after) = (folder.path().join("every"), folder.path().join("after"));
    let (mut model, data) = one_weight();
    let mut trainer = watched(&mut model, 6, &every);
    trainer.fit(&data, &data).unwrap();
    trainer.save_checkpoint(&after).unwrap();
    assert_eq!(weight(&model), -3.0);

    let (mut model, _) = one_weight();
    let mut resumed = watched(&mut model, 7, &every).resume(&after).unwrap();
    let history = resumed.fit(&data, &data).unwrap();
    assert_eq!(
        (history.epochs.len(), history.ended),
        (7, stopped_by("EarlyStopping"))
    );
    assert_eq!(weight(&model), -3.0);
}

/// Refuses to begin, once.
struct NotYet(bool);

impl Callback for NotYet {
    fn on_start(&mut self, _: &StartEvent<'_>) -> Result<()> {
        match std::mem::replace(&mut self.0, false) {
            true => Err(TrainingError::User("not yet".into()).into()),
            false => Ok(()),
        }
    }
}

#[test]
fn a_resume_that_was_refused_is_not_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join("last");
    let (train, validation) = (two_kinds(8, 8, 1), two_kinds(6, 8, 2));
    let mut whole = built(graph());
    let mut trainer_of_whole = trainer(&mut whole, 4, folder.path());
    trainer_of_whole.fit(&train, &validation).unwrap();
    let mut model = built(graph());
    let mut first = trainer(&mut model, 2, folder.path());
    first.fit(&train, &validation).unwrap();

    // Other weights, from which a run from the beginning would end elsewhere.
    let mut again = built(graph());
    let variable = &again.trainable_variables()[0];
    variable.set(&variable.zeros_like().unwrap()).unwrap();
    let before = weights(&again);
    let mut resumed = trainer(&mut again, 4, folder.path())
        .callback(NotYet(true))
        .batch_size(2)
        .resume(&last)
        .unwrap();
    let error = resumed.fit(&train, &validation).unwrap_err();
    let is_checkpoint = matches!(error, Error::Training(TrainingError::Checkpoint { .. }));
    assert!(is_checkpoint, "{error}");
    assert!(resumed.history().epochs.is_empty());
    assert_eq!(weights(resumed.model()), before);
    let mut resumed = resumed.batch_size(4);
    let error = resumed.fit(&train, &validation).unwrap_err();
    assert_eq!(error.to_string(), "not yet");
    let history = resumed.fit(&train, &validation).unwrap();
    assert_eq!(history.epochs.len(), 4);
    assert_eq!(weights(&again), weights(&whole));
}

/// The callbacks can not read the state of each other.
#[test]
fn callbacks_in_another_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run");
    let best = || Checkpoint::new(folder.path().join("best")).best("loss");
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .callback(EarlyStopping::new(3))
        .callback(best());
    trainer.fit_without_validation(&data).unwrap();
    trainer.save_checkpoint(&file).unwrap();

    let mut model = built(graph());
    let before = weights(&model);
    let trainer = Trainer::new(&mut model)
        .callback(best())
        .callback(EarlyStopping::new(3));
    let outcome = trainer.resume(&file).unwrap().fit_without_validation(&data);
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("Checkpoint::best"), "{error}");
    assert_eq!(weights(&model), before);
}
