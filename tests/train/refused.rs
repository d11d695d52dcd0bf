//! Errors before the first step, which leave everything unchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::data::{FnDataset, Sample};
use vgg_surgery::error::TrainingError;
use vgg_surgery::optim::{Clip, Decay, OptimizerState, Update};
use vgg_surgery::train::{
    BatchEvent, Callback, Checkpoint, ConfusionMatrix, ControlFlow, FeatureCache, Finding,
    ParameterGroup, StopReason,
};
use vgg_surgery::{
    Adam, Dataset, Dense, EarlyStopping, Error, Graph, Labels, Loss, Metric, Result, RmsProp, Sgd,
    TensorDataset, Trainer,
};

use crate::{built, graph, noise, stopped_by, two_kinds, weights};

fn training_error<T: std::fmt::Debug>(outcome: Result<T>) -> TrainingError {
    match outcome {
        Err(Error::Training(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn assert_setting<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}

fn linear(units: usize) -> Graph {
    let graph = Graph::new("linear", 4).unwrap().seed(3);
    graph.attach(Dense::new(units).named("out")).unwrap()
}

#[test]
fn leaving_out_every_example_is_refused() {
    let data = two_kinds(6, 8, 1);
    let mut model = built(graph());
    let trainer = Trainer::new(&mut model).batch_size(8).drop_last(true);
    assert_setting(trainer.find_learning_rate(&data));
    let mut trainer = trainer;
    assert_setting(trainer.fit_without_validation(&data));
    let mut trainer = trainer.batch_size(6);
    trainer.fit_without_validation(&data).unwrap();
}

#[test]
fn validation_data_are_checked_before_the_first_epoch() {
    let train = two_kinds(6, 8, 1);
    let beyond = TensorDataset::new(noise((2, 3, 8, 8), 1), vec![0, 2]).unwrap();
    let mut model = built(graph());
    let before = weights(&model);
    let mut trainer = Trainer::new(&mut model);
    let error = trainer.fit(&train, &beyond).unwrap_err();
    assert_eq!(
        error.to_string(),
        "on the validation data: class 2 of example 1 is not one of the 2 classes, which are \
         counted from 0"
    );
    let TrainingError::Validation(error) = training_error(Err::<(), _>(error)) else {
        panic!("not said to be of the validation data");
    };
    assert!(matches!(
        *error.downcast::<Error>().unwrap(),
        Error::ClassOutOfRange {
            example: Some(1),
            ..
        }
    ));
    assert_eq!(weights(&model), before);
}

#[test]
fn classes_that_the_validation_data_call_otherwise_are_found() {
    let named = |names: [&str; 2]| {
        let data = two_kinds(4, 8, 1);
        data.with_classes(Labels::new(names)).unwrap()
    };
    let findings = |validation: [&str; 2]| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model);
        let history = trainer.fit(&named(["cat", "dog"]), &named(validation));
        history.unwrap().findings
    };
    assert_eq!(findings(["cat", "dog"]), []);
    let expected = Finding::OtherClasses {
        class: 1,
        train: Some("dog".to_string()),
        validation: Some("cow".to_string()),
    };
    assert_eq!(findings(["cat", "cow"]), [expected]);
}

#[test]
fn a_quantity_that_no_epoch_will_report_is_refused_at_the_start() {
    let data = two_kinds(4, 8, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("best");
    for callback in [
        Box::new(EarlyStopping::new(1).monitor("val_acuracy")) as Box<dyn Callback>,
        Box::new(Checkpoint::new(file).best("val_acuracy")),
    ] {
        let mut model = built(graph());
        let before = weights(&model);
        let mut trainer = Trainer::new(&mut model).callback(Boxed(callback));
        let error = training_error(trainer.fit(&data, &data));
        assert!(
            matches!(error, TrainingError::UnknownMetric { .. }),
            "{error}"
        );
        assert!(trainer.history().epochs.is_empty());
        assert_eq!(weights(&model), before);
    }
}

/// A boxed callback.
struct Boxed(Box<dyn Callback>);

impl Callback for Boxed {
    fn on_start(&mut self, event: &vgg_surgery::train::StartEvent<'_>) -> Result<()> {
        self.0.on_start(event)
    }
}

/// The loss is 0, and its gradient 1e60, which is infinite in f32.
#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut model = built(graph());
    let before = weights(&model);
    let loss = Loss::custom(|scores, _| {
        let nothing = (scores - scores.detach())?.sum_all()?;
        Ok(((nothing * 1e30)? * 1e30)?)
    });
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model).loss(loss);
    let error = training_error(trainer.fit_without_validation(&data));
    let is_gradient = matches!(
        error,
        TrainingError::NonFiniteGradient {
            epoch: Some(1),
            batch: Some(1),
            ..
        }
    );
    assert!(is_gradient, "{error}");
    assert_eq!(weights(&model), before);
}

/// Running statistics among them.
#[test]
fn a_loss_that_is_not_finite_leaves_everything_as_it_was() {
    let mut model = built(graph());
    let before = weights(&model);
    let loss = Loss::custom(|scores, _| Ok((scores.sum_all()? * f64::NAN)?));
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model).loss(loss);
    let error = training_error(trainer.fit_without_validation(&data));
    let is_loss = matches!(error, TrainingError::NonFiniteLoss { .. });
    assert!(is_loss, "{error}");
    assert_eq!(weights(&model), before);
}

struct StopAtOnce;

impl Callback for StopAtOnce {
    fn on_batch(&mut self, _: &BatchEvent<'_>) -> Result<ControlFlow> {
        Ok(ControlFlow::Stop)
    }
}

#[test]
fn no_number_of_epochs_or_batches_ahead_is_too_large() {
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .batch_size(2)
        .feature_cache(FeatureCache::off())
        .prefetch(usize::MAX);
    trainer.fit_without_validation(&data).unwrap();
    let mut trainer = trainer.epochs(u64::MAX).callback(StopAtOnce);
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.ended, stopped_by("StopAtOnce"));
}

#[test]
fn settings_that_no_step_can_be_taken_with_are_refused() {
    let data = TensorDataset::new(noise((4, 4), 1), vec![0, 1, 0, 1]).unwrap();
    let w = Var::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let gradient = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
    let step = |mut state: OptimizerState, clip, decay| {
        let update = Update {
            name: "w",
            variable: &w,
            gradient: &gradient,
            learning_rate: 0.1,
            decay,
        };
        state.step(&[update], clip)
    };
    let optimizers: [vgg_surgery::optim::Optimizer; 8] = [
        Sgd::new(f64::NAN).into(),
        Sgd::new(0.1).momentum(-0.5).into(),
        Sgd::new(0.1).nesterov().into(),
        Sgd::new(0.1).weight_decay(f64::INFINITY).into(),
        RmsProp::new(0.1).rho(1.5).into(),
        RmsProp::new(0.1).epsilon(-1.0).into(),
        Adam::new(0.1).betas(1.0, 0.9).into(),
        Adam::new(0.1).betas(0.9, f64::NAN).into(),
    ];
    for optimizer in optimizers {
        assert_setting(step(
            OptimizerState::new(optimizer.clone()),
            Clip::None,
            None,
        ));
        let mut model = built(linear(2));
        let mut trainer = Trainer::new(&mut model).optimizer(optimizer);
        assert_setting(trainer.fit_without_validation(&data));
    }
    let sgd = || OptimizerState::new(Sgd::new(0.1));
    for bound in [f64::NAN, -1.0, 0.0] {
        assert_setting(step(sgd(), Clip::Value(bound), None));
        assert_setting(step(sgd(), Clip::Norm(bound), None));
    }
    assert_setting(step(sgd(), Clip::None, Some(Decay::Coupled(-1.0))));
    assert_eq!(w.to_vec1::<f32>().unwrap(), [0.0, 0.0]);
    let mut model = built(linear(2));
    let group = ParameterGroup::new().decay(Decay::Decoupled(f64::NAN));
    let mut trainer = Trainer::new(&mut model).group("out", group).unwrap();
    assert_setting(trainer.fit_without_validation(&data));
}

#[test]
fn a_confusion_of_too_many_classes_counts_the_first_ones() {
    let mut confusion = ConfusionMatrix::new(usize::MAX);
    confusion.count(7, 16_383);
    confusion.count(7, 16_384);
    assert_eq!(confusion.get(7, 16_383), 1);
    assert_eq!(confusion.get(7, 16_384), 0);
}

#[test]
fn counts_that_are_not_a_square_are_refused() {
    let read = |text: &str| serde_json::from_str::<ConfusionMatrix>(text);
    assert!(read(r#"{"classes":2,"counts":[1,2,3,4]}"#).is_ok());
    for text in [
        r#"{"classes":3,"counts":[1,2,3,4]}"#,
        r#"{"classes":18446744073709551615,"counts":[1]}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn counts_of_more_examples_than_can_be_are_refused() {
    let most = u64::MAX;
    let read = |text: String| serde_json::from_str::<ConfusionMatrix>(&text);
    assert!(read(format!(r#"{{"classes":2,"counts":[{most},1,0,0]}}"#)).is_err());
    let mut full = read(format!(r#"{{"classes":2,"counts":[{most},0,0,0]}}"#)).unwrap();
    full.count(0, 0);
    full.count(0, 1);
    assert_eq!((full.recall(0), full.accuracy()), (1.0, 1.0));
}

/// Sets a flag after so many batches.
struct StopAfter(usize, Arc<AtomicBool>);

impl Callback for StopAfter {
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        self.1.store(event.batch == self.0, Ordering::Relaxed);
        Ok(ControlFlow::Continue)
    }
}

#[test]
fn a_metric_that_is_not_a_number_can_be_resumed_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let data = two_kinds(8, 8, 1);
    let mut model = built(graph());
    let mut run = |stop_after: usize, resume: bool| {
        let flag = Arc::new(AtomicBool::new(false));
        let mut trainer = Trainer::new(&mut model)
            .batch_size(4)
            .metrics([Metric::custom("nan", |_, _| Ok(f64::NAN))])
            .callback(StopAfter(stop_after, flag.clone()))
            .stop_flag(flag)
            .checkpoint_on_stop(&file);
        if resume {
            trainer = trainer.resume(&file).unwrap();
        }
        trainer.fit_without_validation(&data).unwrap()
    };
    assert_eq!(run(1, false).ended, StopReason::Interrupted);
    assert!(run(0, true).curve("nan")[0].is_nan());
}

#[test]
fn a_folder_that_can_not_be_written_to_ends_no_training() {
    let data = two_kinds(8, 8, 1);
    let run = |cache: FeatureCache| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model).feature_cache(cache);
        let history = trainer.fit_without_validation(&data).unwrap();
        (history, weights(&model))
    };
    let nowhere = FeatureCache::new().memory_limit(0).folder("/missing");
    let (history, learnt) = run(nowhere);
    assert!(history.cache.is_none());
    let is_told = |finding: &Finding| match finding {
        Finding::FeaturesNotKept { reason, .. } => reason.contains("can't be written"),
        _ => false,
    };
    assert!(history.findings.iter().any(is_told), "{history}");
    assert_eq!(learnt, run(FeatureCache::off()).1);
}

#[test]
fn a_regression_needs_no_metrics_of_classes() {
    let data = TensorDataset::values(noise((4, 4), 1), noise((4, 3), 2)).unwrap();
    for loss in [
        Loss::mean_squared_error(),
        Loss::mean_absolute_error(),
        Loss::huber(1.0),
    ] {
        let mut model = built(linear(3));
        let mut trainer = Trainer::new(&mut model).loss(loss);
        let history = trainer.fit(&data, &data).unwrap();
        assert_eq!(history.last().unwrap().names(), ["loss", "val_loss"]);
    }
}

#[test]
fn an_examples_index_is_that_of_the_data_set() {
    let x = noise((8, 4), 1);
    let data = FnDataset::new(8, move |index| {
        Ok(Sample::new(x.get(index)?, if index == 5 { 7 } else { 0 }))
    });
    let mut model = built(linear(2));
    let mut trainer = Trainer::new(&mut model).batch_size(3);
    let in_fit = trainer.fit_without_validation(&data).unwrap_err();
    let in_evaluation = trainer.evaluate(&data).unwrap_err();
    for error in [in_fit, in_evaluation] {
        let Error::ClassOutOfRange { example, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(example, Some(5));
    }
}

/// Sets a flag when an example is read.
struct Stopping(TensorDataset, Arc<AtomicBool>);

impl Dataset for Stopping {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.1.store(true, Ordering::Relaxed);
        self.0.sample(index)
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.0.fingerprint(index)
    }
}

#[test]
fn training_can_be_interrupted_while_it_validates_or_keeps_features() {
    let flag = Arc::new(AtomicBool::new(false));
    let plain = || two_kinds(8, 8, 1);
    let stopping = Stopping(plain(), flag.clone());
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .batch_size(2)
        .feature_cache(FeatureCache::off())
        .stop_flag(flag.clone());
    let history = trainer.fit(&plain(), &stopping).unwrap();
    assert_eq!(history.ended, StopReason::Interrupted);
    assert!(history.epochs.is_empty());

    flag.store(false, Ordering::Relaxed);
    let mut trainer = trainer.feature_cache(FeatureCache::new());
    let history = trainer.fit_without_validation(&stopping).unwrap();
    assert_eq!(history.ended, StopReason::Interrupted);
    assert!(history.cache.is_none());
    assert!(history.epochs.is_empty());
    let search = trainer.find_learning_rate(&stopping).unwrap();
    assert_eq!(search.rates.len(), 1);
}
