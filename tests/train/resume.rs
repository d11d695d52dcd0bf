use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{BatchEvent, Callback, Checkpoint, ControlFlow, Schedule, StopReason};
use vgg_surgery::{Adam, EarlyStopping, Error, History, Model, Result, RmsProp, Trainer};

use crate::{built, graph, two_kinds, weights};

/// Sets a flag after so many batches.
struct StopAfter(usize, Arc<AtomicBool>);

impl Callback for StopAfter {
    fn on_batch(&mut self, _: &BatchEvent<'_>) -> Result<ControlFlow> {
        if self.0 > 0 {
            self.0 -= 1;
            self.1.store(self.0 == 0, Ordering::Relaxed);
        }
        Ok(ControlFlow::Continue)
    }
}

/// An optimizer with state and a schedule, and nobody who watches.
fn plain(model: &mut Model) -> Trainer<'_> {
    Trainer::new(model)
        .optimizer(RmsProp::new(1e-3).momentum(0.9).centered())
        .schedule(Schedule::cosine().warm_up(1.0))
        .batch_size(4)
        .seed(11)
        .epochs(5)
}

/// Everything that has a memory: dropout, batch norm, shuffling, an optimizer
/// with state, a schedule, early stopping. Ends after `stop_after` batches if
/// that is above 0.
fn trainer<'m>(model: &'m mut Model, stop_after: usize, file: &Path) -> Trainer<'m> {
    let flag = Arc::new(AtomicBool::new(false));
    plain(model)
        .callback(StopAfter(stop_after, flag.clone()))
        .callback(EarlyStopping::new(10))
        .stop_flag(flag)
        .checkpoint_on_stop(file)
}

fn without_times(history: &History) -> History {
    let mut history = history.clone();
    for epoch in &mut history.epochs {
        epoch.seconds = 0.0;
        epoch.from_cache = false;
    }
    history
}

#[test]
fn going_on_gives_the_run_that_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let (train, validation) = (two_kinds(14, 8, 1), two_kinds(6, 8, 2));
    let mut whole = built(graph());
    let expected = trainer(&mut whole, 0, &file)
        .fit(&train, &validation)
        .unwrap();
    assert_eq!(expected.ended, StopReason::Completed);
    // 4 batches an epoch: in the middle of one, after one, and at once.
    for stop_after in [6, 8, 1, 19] {
        let mut first = built(graph());
        let history = trainer(&mut first, stop_after, &file)
            .fit(&train, &validation)
            .unwrap();
        assert_eq!(history.ended, StopReason::Interrupted);
        assert_eq!(history.epochs.len(), (stop_after - 1) / 4);
        let mut second = built(graph());
        let mut resumed = trainer(&mut second, 0, &file).resume(&file).unwrap();
        let history = resumed.fit(&train, &validation).unwrap();
        assert_eq!(
            without_times(&history),
            without_times(&expected),
            "{stop_after}"
        );
        assert_eq!(weights(&second), weights(&whole), "{stop_after}");
    }
}

#[test]
fn a_checkpoint_of_every_epoch_leads_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let (train, validation) = (two_kinds(8, 8, 1), two_kinds(6, 8, 2));
    let run = |epochs: u64, resume: bool| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model)
            .optimizer(Adam::new(1e-3))
            .batch_size(4)
            .epochs(epochs)
            .callback(Checkpoint::new(&file));
        if resume {
            trainer = trainer.resume(&file).unwrap();
        }
        trainer.fit(&train, &validation).unwrap();
        weights(&model)
    };
    let expected = run(4, false);
    run(2, false);
    assert_eq!(run(4, true), expected);
    // Nothing is left of a run that was whole.
    assert_eq!(run(4, true), expected);
}

fn refused(trainer: &mut Trainer<'_>) -> String {
    let data = two_kinds(8, 8, 1);
    match trainer.fit_without_validation(&data) {
        Err(Error::Training(TrainingError::Checkpoint { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).batch_size(4);
    trainer.fit_without_validation(&two_kinds(8, 8, 1)).unwrap();
    trainer.save_checkpoint(&file).unwrap();

    let mut other = built(graph().unfreeze("block2_conv2").unwrap());
    let before = weights(&other);
    let mut trainer = Trainer::new(&mut other)
        .batch_size(4)
        .resume(&file)
        .unwrap();
    assert!(refused(&mut trainer).contains("another network"));
    assert_eq!(weights(&other), before);

    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .batch_size(2)
        .resume(&file)
        .unwrap();
    assert_eq!(
        refused(&mut trainer),
        "it was saved with batch_size(4), but there is batch_size(2); call Trainer::batch_size(4)"
    );
    let trainer = Trainer::new(&mut model).batch_size(4).seed(3);
    let mut trainer = trainer.shuffle(false).resume(&file).unwrap();
    assert_eq!(
        refused(&mut trainer),
        "it was saved with seed(0), but there is seed(3); call Trainer::seed(0); it was saved \
         with shuffle(true), but there is shuffle(false); call Trainer::shuffle(true)"
    );
    let mut trainer = Trainer::new(&mut model).batch_size(4);
    trainer = trainer.resume(&file).unwrap();
    let error = trainer
        .fit_without_validation(&two_kinds(6, 8, 1))
        .unwrap_err()
        .to_string();
    let reason = "with 8 examples, but the data have 6; train on the same data";
    assert!(error.ends_with(reason), "{error}");

    let trainer = Trainer::new(&mut model).batch_size(4);
    let trainer = trainer.callback(EarlyStopping::new(1));
    assert!(refused(&mut trainer.resume(&file).unwrap()).contains("0 callbacks"));

    let trainer = Trainer::new(&mut model)
        .batch_size(4)
        .optimizer(Adam::default());
    let mut trainer = trainer.resume(&file).unwrap();
    let error = trainer
        .fit_without_validation(&two_kinds(8, 8, 1))
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    let mut model = built(graph());
    let mut read = |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        Trainer::new(&mut model)
            .resume(&file)
            .map(|_| ())
            .unwrap_err()
    };
    let empty = br#"{"__metadata__":{}}"#;
    let foreign = [&(empty.len() as u64).to_le_bytes()[..], empty].concat();
    for bytes in [&b""[..], b"not a checkpoint", &foreign] {
        let error = read(Some(bytes));
        let is_checkpoint = matches!(error, Error::Training(TrainingError::Checkpoint { .. }));
        assert!(is_checkpoint, "{error}");
    }
    assert!(matches!(read(None), Error::Io { .. }));
}

#[test]
fn a_checkpoint_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let mut model = built(graph());
    Trainer::new(&mut model).save_checkpoint(&file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let error = Trainer::new(&mut model)
            .resume(&file)
            .map(|_| ())
            .unwrap_err();
        let is_checkpoint = matches!(error, Error::Training(TrainingError::Checkpoint { .. }));
        assert!(is_checkpoint, "{length}: {error}");
    }
}

/// The file that was there stays, and nothing else is left behind.
#[test]
fn a_checkpoint_that_can_not_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("x"), "x").unwrap();
    let mut model = built(graph());
    let trainer = Trainer::new(&mut model);
    for path in [taken.join("x/run"), taken.clone()] {
        let error = trainer.save_checkpoint(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Callbacks that keep nothing may come and go.
#[test]
fn only_callbacks_that_keep_something_have_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let (train, validation) = (two_kinds(14, 8, 1), two_kinds(6, 8, 2));
    let mut whole = built(graph());
    let expected = trainer(&mut whole, 0, &file)
        .fit(&train, &validation)
        .unwrap();
    let mut first = built(graph());
    trainer(&mut first, 5, &file)
        .fit(&train, &validation)
        .unwrap();
    let with = |model: &mut Model, early: Option<EarlyStopping>| {
        let mut trainer = plain(model);
        if let Some(early) = early {
            trainer = trainer.callback(early);
        }
        trainer.resume(&file)?.fit(&train, &validation)
    };
    let mut again = built(graph());
    let history = with(&mut again, Some(EarlyStopping::new(10))).unwrap();
    assert_eq!(without_times(&history), without_times(&expected));
    assert_eq!(weights(&again), weights(&whole));
    let error = with(&mut built(graph()), None).unwrap_err();
    let Error::Training(TrainingError::Checkpoint { reason, .. }) = error else {
        panic!("{error}");
    };
    assert!(
        reason.starts_with("it was saved with 1 callbacks that have a state"),
        "{reason}"
    );
}
