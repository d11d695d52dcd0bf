//! A trainer that is changed between two calls of `fit`, and training loops
//! without a trainer.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Tensor};
use vgg_surgery::data::Loader;
use vgg_surgery::error::TrainingError;
use vgg_surgery::model::backward;
use vgg_surgery::optim::{Clip, OptimizerState, Update};
use vgg_surgery::train::Schedule;
use vgg_surgery::{Adam, Dense, Error, Graph, Loss, Model, RmsProp, Sgd, TensorDataset, Trainer};

use crate::{built, graph, noise, two_kinds, weights};

#[test]
fn settings_can_be_changed_between_two_fits() {
    let data = two_kinds(8, 8, 1);
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).optimizer(Adam::new(0.01));
    trainer.fit_without_validation(&data).unwrap();
    trainer.set_learning_rate(1e-4);
    trainer.set_epochs(2);
    trainer.set_schedule(Schedule::exponential(0.5));
    trainer.fit_without_validation(&data).unwrap();
    trainer.set_optimizer(Sgd::new(0.1));
    trainer.set_epochs(1);
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.curve("learning_rate"), [0.01, 1e-4, 0.5e-4, 0.1]);
}

/// Two steps at the first rate and two at the second, in either way.
#[test]
fn a_changed_rate_keeps_the_optimizers_state() {
    let data = two_kinds(8, 8, 1);
    let (mut staged, mut whole) = (built(graph()), built(graph()));
    let mut trainer = Trainer::new(&mut staged)
        .optimizer(Adam::new(0.01))
        .epochs(2);
    trainer.fit_without_validation(&data).unwrap();
    trainer.set_learning_rate(0.001);
    trainer.fit_without_validation(&data).unwrap();
    let rate = |passed: f64| if passed < 0.5 { 1.0 } else { 0.1 };
    Trainer::new(&mut whole)
        .optimizer(Adam::new(0.01))
        .schedule(Schedule::custom(rate))
        .epochs(4)
        .fit_without_validation(&data)
        .unwrap();
    assert_eq!(weights(&staged), weights(&whole));
}

fn loss(model: &Model, data: &TensorDataset) -> Tensor {
    let loader = Loader::new(data);
    let batch = loader.epoch(0).next().unwrap().unwrap();
    let logits = model.forward_training(&batch.inputs).unwrap();
    let loss = Loss::cross_entropy().from_logits();
    loss.compute(&logits, &batch.targets, None).unwrap()
}

/// Takes three steps with the functions that `backward_step` is made of.
fn by_hand(model: &Model, data: &TensorDataset) {
    let mut optimizer = OptimizerState::new(RmsProp::new(0.01));
    let parameters = model
        .parameters()
        .filter(|parameter| parameter.is_trainable);
    let names: Vec<String> = parameters
        .map(|parameter| format!("{}.{}", parameter.layer, parameter.name))
        .collect();
    let variables = model.trainable_variables();
    for _ in 0..3 {
        let mut gradients = backward(&loss(model, data)).unwrap();
        let gradients: Vec<Tensor> = variables
            .iter()
            .map(|variable| gradients.take(variable).unwrap().unwrap())
            .collect();
        let updates = names.iter().zip(&variables).zip(&gradients);
        let updates = updates.map(|((name, variable), gradient)| Update {
            name,
            variable,
            gradient,
            learning_rate: 0.01,
            decay: None,
        });
        let updates: Vec<Update<'_>> = updates.collect();
        optimizer.step(&updates, Clip::None).unwrap();
    }
}

fn small() -> Model {
    let data_free = Graph::new("small", 4).unwrap().seed(5);
    let hidden = data_free.attach(Dense::new(6).relu().named("hidden"));
    built(hidden.unwrap().attach(Dense::new(3).named("out")).unwrap())
}

#[test]
fn a_loop_with_backward_step_learns_what_fit_and_a_loop_by_hand_learn() {
    let data = TensorDataset::new(noise((6, 4), 1), [0, 1, 2, 0, 1, 2]).unwrap();
    let (mut trained, looped, manual) = (small(), small(), small());
    Trainer::new(&mut trained)
        .optimizer(RmsProp::new(0.01))
        .shuffle(false)
        .epochs(3)
        .fit_without_validation(&data)
        .unwrap();
    let mut optimizer = OptimizerState::new(RmsProp::new(0.01));
    for _ in 0..3 {
        optimizer
            .backward_step(&looped, &loss(&looped, &data))
            .unwrap();
    }
    by_hand(&manual, &data);
    assert_eq!(weights(&looped), weights(&manual));
    assert_eq!(weights(&looped), weights(&trained));
    assert_ne!(weights(&looped), weights(&small()));
}

#[test]
fn backward_step_changes_nothing_where_it_can_not_step() {
    let x = Tensor::ones((1, 4), DType::F32, &Device::Cpu).unwrap();
    let mut optimizer = OptimizerState::new(Sgd::new(0.1));
    let model = small();
    let loss = (model.forward_training(&x).unwrap().sum_all().unwrap() * f64::NAN).unwrap();
    let error = optimizer.backward_step(&model, &loss).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the gradient of \"hidden."), "{text}");
    assert!(matches!(
        error,
        Error::Training(TrainingError::NonFiniteGradient { epoch: None, .. })
    ));
    assert_eq!(weights(&model), weights(&small()));

    let frozen = small().edit(|graph| Ok(graph.freeze_all())).unwrap();
    let loss = frozen.forward_training(&x).unwrap().sum_all().unwrap();
    let error = optimizer.backward_step(&frozen, &loss).unwrap_err();
    assert!(matches!(
        error,
        Error::Training(TrainingError::NothingToTrain)
    ));
}

/// Both losses look right, and would teach nothing in silence.
#[test]
fn backward_step_refuses_a_loss_of_another_pass_or_model() {
    let x = Tensor::ones((1, 4), DType::F32, &Device::Cpu).unwrap();
    let mut optimizer = OptimizerState::new(Sgd::new(0.1));
    let model = small();
    let evaluated = model.forward(&x).unwrap().sum_all().unwrap();
    let of_clone = model.clone().forward_training(&x).unwrap();
    for loss in [evaluated, of_clone.sum_all().unwrap()] {
        let error = optimizer.backward_step(&model, &loss).unwrap_err();
        assert!(
            matches!(error, Error::Training(TrainingError::NoGradient)),
            "{error}"
        );
    }
    let vector = model.forward_training(&x.repeat((3, 1)).unwrap()).unwrap();
    let error = optimizer.backward_step(&model, &vector).unwrap_err();
    assert!(error.to_string().contains("mean_all()"), "{error}");
    assert_eq!(weights(&model), weights(&small()));
}

struct PanicsBackward;

impl CustomOp1 for PanicsBackward {
    fn name(&self) -> &'static str {
        "panics backward"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        panic!("on purpose");
    }
}

/// A custom operation's panic left the thread's gradients gathered, so that candle
/// found none there afterwards.
#[test]
fn a_panic_in_a_custom_operation_leaves_the_thread_as_it_was() {
    let x = Tensor::ones((1, 4), DType::F32, &Device::Cpu).unwrap();
    let model = small();
    let output = || model.forward_training(&x).unwrap();
    let loss = output()
        .apply_op1(PanicsBackward)
        .unwrap()
        .sum_all()
        .unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| backward(&loss)));
    assert!(panicked.is_err());
    let gradients = output().sum_all().unwrap().backward().unwrap();
    for variable in model.trainable_variables() {
        assert!(gradients.get(&variable).is_some());
    }
}
