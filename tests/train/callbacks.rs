use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{
    BatchEvent, Callback, Checkpoint, ControlFlow, CsvLog, EndEvent, EpochEvent, StartEvent,
    StopReason, TerminateOnNan,
};
use vgg_surgery::{
    Dense, EarlyStopping, Error, Graph, Loss, Model, Result, Sgd, TensorDataset, Trainer,
};

use crate::{built, graph, stopped_by, two_kinds, values, weights};

/// One weight `w`, fed with ones.
pub fn one_weight() -> (Model, TensorDataset) {
    let graph = Graph::new("w", 1).unwrap();
    let dense = Dense::new(1).without_bias().named("out");
    let model = built(graph.attach(dense).unwrap());
    let start = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
    model.trainable_variables()[0].set(&start).unwrap();
    let x = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
    (model, TensorDataset::new(x, vec![0]).unwrap())
}

pub fn weight(model: &Model) -> f64 {
    values(model.parameters().next().unwrap().tensor)[0]
}

/// The loss `w` falls by 1 an epoch, and its distance from -3.5 is least in
/// the fourth (w = -3) and the fifth (w = -4); the first of them counts.
#[test]
fn early_stopping_restores_the_best_weights() {
    let run = |callback: EarlyStopping| {
        let (mut model, data) = one_weight();
        let history = Trainer::new(&mut model)
            .optimizer(Sgd::new(1.0))
            .loss(Loss::custom(|scores, _| Ok(scores.mean_all()?)))
            .metrics([vgg_surgery::Metric::custom(
                "distance_error",
                |scores, _| Ok((f64::from(scores.mean_all()?.to_scalar::<f32>()?) + 3.5).abs()),
            )])
            .epochs(20)
            .callback(callback.monitor("val_distance_error"))
            .fit(&data, &data)
            .unwrap();
        (history, weight(&model))
    };
    let (history, kept) = run(EarlyStopping::new(3));
    assert_eq!(history.ended, stopped_by("EarlyStopping"));
    assert_eq!(history.restored_epoch, Some(4));
    let outcome = "\nstopped by EarlyStopping after epoch 7; the weights are from epoch 4";
    assert!(history.to_string().ends_with(outcome), "{history}");
    assert_eq!(
        history.curve("val_distance_error"),
        [3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 2.5]
    );
    assert_eq!(kept, -3.0);
    let (_, last) = run(EarlyStopping::new(3).keep_last());
    assert_eq!(last, -6.0);
    // The third is better than the first by more than that, no later one than
    // the third.
    let (history, _) = run(EarlyStopping::new(2).min_delta(1.5));
    assert_eq!(history.epochs.len(), 5);
}

/// As at the end of its patience. The fourth epoch is best.
#[test]
fn early_stopping_restores_the_best_weights_after_an_error() {
    struct FailingLater;
    impl Callback for FailingLater {
        fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
            match event.record.epoch {
                6 => Err(TrainingError::User(Box::new(Own)).into()),
                _ => Ok(ControlFlow::Continue),
            }
        }
    }
    let (mut model, data) = one_weight();
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::custom(|scores, _| Ok(scores.mean_all()?)))
        .metrics([vgg_surgery::Metric::custom(
            "distance_error",
            |scores, _| Ok((f64::from(scores.mean_all()?.to_scalar::<f32>()?) + 3.5).abs()),
        )])
        .epochs(20)
        .callback(EarlyStopping::new(10).monitor("val_distance_error"))
        .callback(FailingLater);
    let error = trainer.fit(&data, &data).unwrap_err();
    assert_eq!(error.to_string(), "the disk is on fire");
    assert_eq!(trainer.history().ended, StopReason::Failed);
    assert_eq!(weight(&model), -3.0);
}

#[test]
fn the_best_weights_are_restored_when_all_epochs_ran() {
    let (mut model, data) = one_weight();
    Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::custom(|scores, _| {
            Ok((scores + 1.5)?.sqr()?.mean_all()?)
        }))
        .metrics([])
        .epochs(3)
        .callback(EarlyStopping::new(100))
        .fit(&data, &data)
        .unwrap();
    // 1, then -4, 1, -4: as far from -1.5 each; the first epoch's end counts.
    assert_eq!(weight(&model), -4.0);
}

/// The second stage starts at a much higher loss than the first one ended with.
#[test]
fn early_stopping_starts_over_in_each_fit() {
    let (mut model, data) = one_weight();
    let loss =
        |target: f64| Loss::custom(move |scores, _| Ok((scores - target)?.sqr()?.mean_all()?));
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Sgd::new(0.25))
        .loss(loss(0.0))
        .metrics([])
        .epochs(3)
        .callback(EarlyStopping::new(1));
    trainer.fit(&data, &data).unwrap();
    let mut trainer = trainer.loss(loss(8.0));
    trainer.fit(&data, &data).unwrap();
    let history = trainer.history();
    // Half of the way each epoch: from 1 to 1/8, then from 1/8 towards 8.
    assert_eq!(history.epochs.len(), 6);
    assert_eq!(history.ended, StopReason::Completed);
    assert_eq!(weight(trainer.model()), 8.0 - (8.0 - 0.125) / 8.0);
}

#[test]
fn a_quantity_that_is_not_there_is_an_error() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let callback = EarlyStopping::new(1).monitor("val_acuracy");
    let error = Trainer::new(&mut model)
        .callback(callback)
        .fit(&data, &data)
        .unwrap_err();
    let Error::Training(TrainingError::UnknownMetric { name, known }) = error else {
        panic!("{error}");
    };
    assert_eq!(name, "val_acuracy");
    assert_eq!(known, ["loss", "accuracy", "val_loss", "val_accuracy"]);
}

#[test]
fn nan_stops_without_an_error_on_request() {
    let (mut model, data) = one_weight();
    let before = weights(&model);
    let history = Trainer::new(&mut model)
        .loss(Loss::custom(|scores, _| {
            Ok((scores.mean_all()? * f64::NAN)?)
        }))
        .metrics([])
        .callback(TerminateOnNan)
        .fit(&data, &data)
        .unwrap();
    assert_eq!(history.ended, stopped_by("TerminateOnNan"));
    let outcome = "stopped by TerminateOnNan in epoch 1";
    assert_eq!(history.to_string().lines().nth(1), Some(outcome));
    assert!(history.epochs.is_empty());
    assert_eq!(weights(&model), before);
}

/// Records its events.
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Callback for Diary {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.note(format!("start {} to {}", event.epoch, event.epochs));
        Ok(())
    }

    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        self.note(format!(
            "batch {} {}/{}",
            event.epoch, event.batch, event.batches
        ));
        Ok(ControlFlow::Continue)
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        self.note(format!("epoch {}", event.record.epoch));
        Ok(ControlFlow::Continue)
    }

    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        self.note(format!("end {}", event.history.epochs.len()));
        Ok(())
    }
}

#[test]
fn callbacks_are_called_in_order() {
    let mut model = built(graph());
    let data = two_kinds(6, 8, 1);
    let lines = Arc::new(Mutex::new(Vec::new()));
    Trainer::new(&mut model)
        .batch_size(4)
        .epochs(2)
        .callback(Diary(lines.clone()))
        .fit(&data, &data)
        .unwrap();
    let expected = [
        "start 0 to 2",
        "batch 1 1/2",
        "batch 1 2/2",
        "epoch 1",
        "batch 2 1/2",
        "batch 2 2/2",
        "epoch 2",
        "end 2",
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}

struct Failing;

#[derive(Debug)]
struct Own;

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the disk is on fire")
    }
}

impl std::error::Error for Own {}

impl Callback for Failing {
    fn on_epoch(&mut self, _: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        Err(TrainingError::User(Box::new(Own)).into())
    }
}

#[test]
fn an_error_of_a_callback_is_returned() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model).callback(Failing);
    let error = trainer.fit(&data, &data).unwrap_err();
    assert!(matches!(error, Error::Training(TrainingError::User(_))));
    assert_eq!(error.to_string(), "the disk is on fire");
    assert_eq!(trainer.history().epochs.len(), 1);
}

#[test]
fn a_log_grows_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.csv");
    std::fs::write(&file, "old").unwrap();
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model)
        .epochs(2)
        .callback(CsvLog::new(&file));
    trainer.fit(&data, &data).unwrap();
    let history = trainer.fit(&data, &data).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), history.to_csv());
    let heading = history.to_csv().lines().next().unwrap().to_string();
    assert_eq!(
        heading,
        "epoch,learning_rate,seconds,from_cache,loss,accuracy,val_loss,val_accuracy"
    );
}

/// The log of the killed training is ahead of its checkpoint: the epoch between was
/// in the log twice.
#[test]
fn a_resumed_training_logs_each_epoch_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, checkpoint) = (folder.path().join("log.csv"), folder.path().join("every"));
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let killed = |event: &mut EpochEvent<'_>| match event.record.epoch {
        3 => Err(Error::other("killed")),
        _ => Ok(ControlFlow::Continue),
    };
    let trainer = Trainer::new(&mut model)
        .epochs(4)
        .callback(CsvLog::new(&file));
    let trainer = trainer.callback(Checkpoint::new(&checkpoint).every(2));
    trainer.callback(killed).fit(&data, &data).unwrap_err();
    let log = std::fs::read_to_string(&file).unwrap();
    assert_eq!(log.lines().count(), 4);
    // The process ended in the middle of a line.
    std::fs::write(&file, format!("{log}4,0.0")).unwrap();

    let mut model = built(graph());
    let trainer = Trainer::new(&mut model)
        .epochs(4)
        .callback(CsvLog::new(&file));
    let trainer = trainer.resume(&checkpoint).unwrap();
    let history = { trainer }.fit(&data, &data).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), history.to_csv());
}

/// The path is below a file, or is a folder.
#[test]
fn unwritable_files_are_reported_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let data = two_kinds(4, 8, 1);
    let before = weights(&built(graph()));
    for place in [file.join("below"), folder.path().to_path_buf()] {
        for is_log in [true, false] {
            let mut model = built(graph());
            let trainer = Trainer::new(&mut model);
            let mut trainer = match is_log {
                true => trainer.callback(CsvLog::new(&place)),
                false => trainer.callback(Checkpoint::new(&place)),
            };
            let error = trainer.fit(&data, &data).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error}");
            assert_eq!(weights(&model), before);
        }
    }
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1);
}

#[test]
fn a_log_makes_its_folder_and_begins_with_a_heading_wherever_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/log.csv");
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model);
    trainer.fit(&data, &data).unwrap();
    let mut trainer = trainer.callback(CsvLog::new(&file));
    let history = trainer.fit(&data, &data).unwrap();
    let whole = history.to_csv();
    let lines: Vec<&str> = whole.lines().collect();
    let log = std::fs::read_to_string(&file).unwrap();
    assert_eq!(log.lines().collect::<Vec<_>>(), [lines[0], lines[2]]);
}

/// A refused `fit` only opens a log, and does not change it.
#[test]
fn a_log_is_not_lost_where_training_does_not_begin() {
    struct Refusing;
    impl Callback for Refusing {
        fn on_start(&mut self, _: &StartEvent<'_>) -> Result<()> {
            Err(TrainingError::User(Box::new(Own)).into())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.csv");
    std::fs::write(&file, "of yesterday\n").unwrap();
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let trainer = Trainer::new(&mut model).callback(CsvLog::new(&file));
    trainer.callback(Refusing).fit(&data, &data).unwrap_err();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of yesterday\n");
}

#[test]
fn checkpoints_are_written_when_they_are_due() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("every");
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let every = Checkpoint::new(&file).every(2);
    let mut trainer = Trainer::new(&mut model).callback(every);
    trainer.fit(&data, &data).unwrap();
    assert!(!file.exists());
    trainer.fit(&data, &data).unwrap();
    assert!(file.exists());

    // The loss w falls for ever, so its rise is best at once and never again.
    let (mut model, data) = one_weight();
    let history = Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::custom(|scores, _| Ok(scores.mean_all()?)))
        .metrics([vgg_surgery::Metric::custom("height", |scores, _| {
            Ok(f64::from(scores.mean_all()?.to_scalar::<f32>()?))
        })])
        .epochs(3)
        .callback(Checkpoint::new(folder.path().join("best")).best("height"))
        .fit_without_validation(&data)
        .unwrap();
    assert_eq!(history.curve("height"), [1.0, 0.0, -1.0]);
    let saved = candle_core::safetensors::load(folder.path().join("best"), &Device::Cpu).unwrap();
    assert_eq!(values(&saved["model.out.weight"]), [0.0]);
}
