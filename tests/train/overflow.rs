//! Steps that would make weights infinite are not taken.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use vgg_surgery::error::TrainingError;
use vgg_surgery::optim::{Clip, Optimizer, OptimizerState, Update};
use vgg_surgery::train::{Schedule, StopReason};
use vgg_surgery::{Adam, Error, Loss, Result, Sgd, Trainer};

use crate::optimizers::every_kind;
use crate::{built, graph, two_kinds, values, weights};

fn step_error<T: std::fmt::Debug>(outcome: Result<T>) -> (String, Option<u64>, Option<usize>) {
    match outcome {
        Err(Error::Training(TrainingError::NonFiniteStep {
            parameter,
            epoch,
            batch,
        })) => (parameter, epoch, batch),
        other => panic!("{other:?}"),
    }
}

/// The losses stay finite: each is computed before its step.
#[test]
fn a_schedule_that_jumps_leaves_the_last_good_weights() {
    for optimizer in every_kind() {
        let data = two_kinds(8, 8, 1);
        let train = |epochs, last: f64| {
            let factor = move |passed| if passed < 0.5 { 1.0 } else { last };
            let mut model = built(graph());
            let mut trainer = Trainer::new(&mut model)
                .optimizer(optimizer.clone())
                .schedule(Schedule::custom(factor))
                .batch_size(4)
                .epochs(epochs);
            let outcome = trainer.fit_without_validation(&data);
            let ended = trainer.history().ended;
            (weights(&model), outcome, ended)
        };
        let (good, outcome, _) = train(1, 1.0);
        outcome.unwrap();
        let (after, outcome, ended) = train(2, 1e300);
        let (parameter, epoch, batch) = step_error(outcome);
        assert_eq!((epoch, batch), (Some(2), Some(1)), "{parameter}");
        assert_eq!(ended, StopReason::Failed);
        assert!(good == after, "{optimizer:?} changed something");
    }
}

#[test]
fn a_rate_beyond_f32_changes_nothing() {
    let mut model = built(graph());
    let before = weights(&model);
    let mut trainer = Trainer::new(&mut model).optimizer(Sgd::new(1e39));
    let outcome = trainer.fit_without_validation(&two_kinds(4, 8, 1));
    assert_eq!(step_error(outcome).1, Some(1));
    assert_eq!(weights(&model), before);
}

#[test]
fn backward_step_does_not_overflow() {
    let model = built(graph());
    let x = two_kinds(4, 8, 1);
    let batch = vgg_surgery::data::Loader::new(&x).epoch(0).next();
    let batch = batch.unwrap().unwrap();
    let mut optimizer = OptimizerState::new(Adam::new(1e-3));
    let mut step = |rate: Option<f64>| {
        let logits = model.forward_training(&batch.inputs)?;
        let before = weights(&model);
        let loss = Loss::cross_entropy().from_logits();
        let loss = loss.compute(&logits, &batch.targets, None)?;
        if let Some(rate) = rate {
            optimizer.set_learning_rate(rate);
        }
        let outcome = optimizer.backward_step(&model, &loss);
        Ok::<_, Error>((outcome, before == weights(&model)))
    };
    let (outcome, unchanged) = step(None).unwrap();
    outcome.unwrap();
    assert!(!unchanged);
    let (outcome, unchanged) = step(Some(1e39)).unwrap();
    assert_eq!(step_error(outcome).1, None);
    assert!(unchanged);
}

/// Two parameters: what the first would become is finite.
fn two(dtype: DType) -> [(Var, Tensor); 2] {
    [0.0, 1.0].map(|gradient| {
        let values = |value: f64| Tensor::full(value, 40_000, &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&values(1.0).to_dtype(dtype).unwrap()).unwrap();
        (variable, values(gradient).to_dtype(dtype).unwrap())
    })
}

fn step(state: &mut OptimizerState, [a, b]: &[(Var, Tensor); 2], rates: [f64; 2]) -> Result<()> {
    let update = |name, (variable, gradient), learning_rate| Update {
        name,
        variable,
        gradient,
        learning_rate,
        decay: None,
    };
    let updates = [
        update("a", (&a.0, &a.1), rates[0]),
        update("b", (&b.0, &b.1), rates[1]),
    ];
    state.step(&updates, Clip::None)
}

type Everything = (Vec<f64>, Vec<f64>, Vec<(String, String)>);

fn everything(state: &OptimizerState, [a, b]: &[(Var, Tensor); 2]) -> Everything {
    let slots = state.tensors().unwrap().into_iter();
    let slots = slots.map(|(name, tensor)| (name, format!("{tensor}")));
    (values(&a.0), values(&b.0), slots.collect())
}

#[test]
fn no_parameter_and_no_state_changes_if_one_would_overflow() {
    for optimizer in every_kind() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let mut state = OptimizerState::new(optimizer.clone());
            let pair = two(dtype);
            let fresh = everything(&state, &pair);
            let (parameter, ..) = step_error(step(&mut state, &pair, [0.1, 1e300]));
            assert_eq!(parameter, "b", "{optimizer:?} in {dtype:?}");
            assert!(everything(&state, &pair) == fresh, "{optimizer:?}");
            step(&mut state, &pair, [0.1, 0.1]).unwrap();
            let stepped = everything(&state, &pair);
            assert!(stepped != fresh, "{optimizer:?}");
            step_error(step(&mut state, &pair, [0.1, 1e300]));
            assert!(everything(&state, &pair) == stepped, "{optimizer:?}");
        }
    }
}

/// `1e30 * 1e30` is beyond f32: the mean square would be infinite for ever, and no
/// later step would change the weight.
#[test]
fn a_state_that_would_overflow_is_refused() {
    let [(w, _), _] = two(DType::F32);
    let gradient = Tensor::full(1e30f32, 40_000, &Device::Cpu).unwrap();
    let pair = [(w.clone(), gradient.clone()), (w, gradient)];
    let mut state = OptimizerState::new(Optimizer::from(Adam::new(0.1)));
    step_error(step(&mut state, &pair, [0.1, 0.1]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Most steps are known to be finite by bounds on gradient and state, the others
    /// are tried first.
    #[test]
    fn what_is_stepped_to_is_finite(
        kind in 0usize..7,
        weight in -38f64..38.0,
        steps in prop::collection::vec((-38f64..38.5, -38f64..60.0), 1..5),
    ) {
        let mut state = OptimizerState::new(every_kind().swap_remove(kind));
        let full = |exponent: f64| Tensor::full(10f64.powf(exponent) as f32, 3, &Device::Cpu);
        let variable = Var::from_tensor(&full(weight).unwrap()).unwrap();
        for (gradient, learning_rate) in steps {
            let gradient = full(gradient).unwrap();
            let update = Update {
                name: "w",
                variable: &variable,
                gradient: &gradient,
                learning_rate: 10f64.powf(learning_rate),
                decay: None,
            };
            if state.step(&[update], Clip::None).is_ok() {
                prop_assert!(values(&variable).iter().all(|value| value.is_finite()));
                for (name, tensor) in state.tensors().unwrap() {
                    let is_slot = name != "optimizer" && !name.ends_with("steps");
                    prop_assert!(!is_slot || values(&tensor).iter().all(|value| value.is_finite()));
                }
            }
        }
    }
}
