//! Optimizers on their own, without a trainer.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::optim::{Clip, Decay, Optimizer, OptimizerState, Update};
use vgg_surgery::{Adam, AdamW, Error, Result, RmsProp, Sgd};

use crate::{fixture, values};

type Tensors = HashMap<String, Tensor>;

/// `A`, `b`, `w0`, and ten steps of `w` on the mean of `(A w - b)^2`.
fn golden(library: &str) -> Tensors {
    let path = fixture(&format!("optim/optim_{library}.golden.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn gradient(problem: &Tensors, w: &Var) -> Tensor {
    let dtype = w.dtype();
    let a = problem["A"].to_dtype(dtype).unwrap();
    let b = problem["b"].to_dtype(dtype).unwrap();
    let w = w.as_detached_tensor().unsqueeze(1).unwrap();
    let residual = (a.matmul(&w).unwrap().squeeze(1).unwrap() - b).unwrap();
    let gradient = a.t().unwrap().matmul(&residual.unsqueeze(1).unwrap());
    (gradient.unwrap().squeeze(1).unwrap() * (2.0 / residual.elem_count() as f64)).unwrap()
}

fn take_step(state: &mut OptimizerState, problem: &Tensors, w: &Var, clip: Clip) -> Vec<f64> {
    let gradient = gradient(problem, w);
    let rate = state.optimizer().learning_rate();
    state.step(&[update(w, &gradient, rate)], clip).unwrap();
    values(w)
}

fn update<'a>(variable: &'a Var, gradient: &'a Tensor, learning_rate: f64) -> Update<'a> {
    Update {
        name: "w",
        variable,
        gradient,
        learning_rate,
        decay: None,
    }
}

fn start(problem: &Tensors, dtype: DType) -> Var {
    Var::from_tensor(&problem["w0"].to_dtype(dtype).unwrap()).unwrap()
}

fn assert_follows(library: &str, name: &str, optimizer: impl Into<Optimizer>) {
    let problem = golden(library);
    let optimizer = optimizer.into();
    let steps: Vec<Vec<f32>> = problem[name].to_vec2().unwrap();
    for dtype in [DType::F32, DType::F64] {
        let w = start(&problem, dtype);
        let mut state = OptimizerState::new(optimizer.clone());
        for (index, expected) in steps.iter().enumerate() {
            let actual = take_step(&mut state, &problem, &w, Clip::None);
            for (a, &e) in actual.iter().zip(expected) {
                let close = (a - f64::from(e)).abs() <= 1e-5 * f64::from(e.abs()).max(1.0);
                assert!(close, "{name} {dtype:?} step {index}: {a}, not {e}");
            }
        }
    }
}

#[test]
fn pytorchs_steps() {
    let sgd = || Sgd::new(0.05);
    assert_follows("torch", "sgd_lr.05", sgd());
    assert_follows("torch", "sgd_lr.05_mom.9", sgd().momentum(0.9));
    let nesterov = sgd().momentum(0.9).nesterov().weight_decay(0.01);
    assert_follows("torch", "sgd_lr.05_mom.9_nesterov_wd.01", nesterov);
    let rms_prop = RmsProp::pytorch(0.01).rho(0.9).epsilon(1e-7);
    assert_follows("torch", "rmsprop_torch_lr.01_alpha.9_eps1e-7", rms_prop);
    assert_follows("torch", "adam_lr.01", Adam::new(0.01));
    assert_follows(
        "torch",
        "adamw_lr.01_wd.1",
        AdamW::new(0.01).weight_decay(0.1),
    );
}

#[test]
fn keras_steps() {
    assert_follows("keras", "rmsprop_default", RmsProp::default());
    let rms_prop = || RmsProp::new(0.01);
    assert_follows("keras", "rmsprop_lr.01_mom.9", rms_prop().momentum(0.9));
    assert_follows("keras", "rmsprop_lr.01_centered", rms_prop().centered());
    assert_follows("keras", "adam_lr.01", Adam::keras(0.01));
    let nesterov = Sgd::new(0.05).momentum(0.9).nesterov();
    assert_follows("keras", "sgd_lr.05_mom.9_nesterov", nesterov);
}

pub fn every_kind() -> Vec<Optimizer> {
    vec![
        Sgd::new(0.05).into(),
        Sgd::new(0.05).momentum(0.9).weight_decay(0.1).into(),
        RmsProp::new(0.01).into(),
        RmsProp::pytorch(0.01).momentum(0.5).into(),
        RmsProp::pytorch(0.01).momentum(0.5).centered().into(),
        RmsProp::new(0.01)
            .centered()
            .decoupled_weight_decay(0.3)
            .into(),
        AdamW::new(0.01).into(),
    ]
}

/// The pass over slices and candle's operators, over more values than one
/// thread takes at a time.
#[test]
fn one_pass_equals_the_operators() {
    let count = 100_003;
    let wave = |step: f64| -> Vec<f64> { (0..count).map(|i| (i as f64 * step).sin()).collect() };
    for optimizer in every_kind() {
        let run = |dtype| {
            let tensor = |step| {
                Tensor::new(wave(step), &Device::Cpu)
                    .unwrap()
                    .to_dtype(dtype)
            };
            let w = Var::from_tensor(&tensor(0.1).unwrap()).unwrap();
            let mut state = OptimizerState::new(optimizer.clone());
            for step in [0.3, 0.7, 1.1] {
                let gradient = tensor(step).unwrap();
                let update = update(&w, &gradient, 0.01);
                state.step(&[update], Clip::Value(0.75)).unwrap();
            }
            values(&w)
        };
        let (fused, operators) = (run(DType::F32), run(DType::F64));
        let off = fused.iter().zip(&operators).map(|(a, b)| (a - b).abs());
        let worst = off.fold(0.0, f64::max);
        assert!(worst < 1e-5, "{optimizer:?}: off by {worst}");
    }
}

#[test]
fn a_restored_state_takes_the_same_steps() {
    let problem = golden("torch");
    for dtype in [DType::F32, DType::F64] {
        for optimizer in every_kind() {
            let w = start(&problem, dtype);
            let mut state = OptimizerState::new(optimizer.clone());
            for _ in 0..3 {
                take_step(&mut state, &problem, &w, Clip::None);
            }
            let again = Var::from_tensor(&w.copy().unwrap().detach()).unwrap();
            let mut restored = OptimizerState::new(optimizer.clone());
            let tensors = state.tensors().unwrap();
            restored.restore(&tensors, &[("w", &again)]).unwrap();
            for _ in 0..3 {
                let expected = take_step(&mut state, &problem, &w, Clip::None);
                let actual = take_step(&mut restored, &problem, &again, Clip::None);
                assert_eq!(actual, expected, "{optimizer:?}");
            }
        }
    }
}

#[test]
fn the_state_of_another_optimizer_is_refused() -> Result<()> {
    let problem = golden("torch");
    let w = start(&problem, DType::F32);
    let mut state = OptimizerState::new(Adam::default());
    take_step(&mut state, &problem, &w, Clip::None);
    let tensors = state.tensors()?;
    let longer = Var::zeros(9, DType::F32, &Device::Cpu)?;
    for (optimizer, variable) in [
        (Optimizer::from(Sgd::default()), &w),
        (RmsProp::new(0.1).momentum(0.5).centered().into(), &w),
        (Adam::default().into(), &longer),
    ] {
        let mut state = OptimizerState::new(optimizer);
        let error = state.restore(&tensors, &[("w", variable)]).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    Ok(())
}

#[test]
fn a_state_of_the_same_size_but_another_meaning_is_refused_or_dropped() -> Result<()> {
    let problem = golden("torch");
    let pairs: [(Optimizer, Optimizer); 5] = [
        (Sgd::new(0.1).momentum(0.9).into(), RmsProp::new(0.1).into()),
        (
            Adam::new(0.1).into(),
            RmsProp::new(0.1).momentum(0.9).into(),
        ),
        (Adam::new(0.1).into(), RmsProp::new(0.1).centered().into()),
        (
            RmsProp::new(0.1).momentum(0.9).into(),
            RmsProp::new(0.1).centered().into(),
        ),
        (
            RmsProp::new(0.1).momentum(0.9).into(),
            RmsProp::pytorch(0.1).momentum(0.9).into(),
        ),
    ];
    for (one, other) in pairs {
        for (old, new) in [(&one, &other), (&other, &one)] {
            let w = start(&problem, DType::F32);
            let mut state = OptimizerState::new(old.clone());
            take_step(&mut state, &problem, &w, Clip::None);
            let mut fresh = OptimizerState::new(new.clone());
            let error = fresh.restore(&state.tensors()?, &[("w", &w)]).unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            state.set_optimizer(new.clone());
            assert!(state.tensors()?.is_empty(), "{old:?}, {new:?}");
        }
    }
    let w = start(&problem, DType::F32);
    let mut state = OptimizerState::new(RmsProp::new(0.1));
    take_step(&mut state, &problem, &w, Clip::None);
    state.set_optimizer(RmsProp::pytorch(0.2));
    assert!(!state.tensors()?.is_empty());
    Ok(())
}

/// The mean square is then the square of the mean, but for rounding.
#[test]
fn a_constant_gradient_leaves_centered_weights_finite() -> Result<()> {
    for optimizer in [RmsProp::new(0.01), RmsProp::pytorch(0.01)] {
        for dtype in [DType::F32, DType::F64] {
            let w = Var::zeros(1, dtype, &Device::Cpu)?;
            let gradient = (Tensor::ones(1, dtype, &Device::Cpu)? * 100.0)?;
            let mut state = OptimizerState::new(optimizer.clone().centered());
            for step in 0..2000 {
                state.step(&[update(&w, &gradient, 0.01)], Clip::None)?;
                assert!(values(&w)[0].is_finite(), "{dtype:?} step {step}");
            }
        }
    }
    Ok(())
}

/// `torch.nn.utils.clip_grad_norm_`: all gradients times
/// `max_norm / (norm + 1e-6)`, if that is below 1.
#[test]
fn gradients_are_clipped_by_their_common_norm() -> Result<()> {
    let variable = |values: &[f32]| Var::new(values, &Device::Cpu);
    let gradients = [
        Tensor::new(&[3.0f32, 0.0], &Device::Cpu)?,
        Tensor::new(&[0.0f32, 4.0], &Device::Cpu)?,
    ];
    for (clip, expected) in [
        (Clip::Norm(1.0), [-0.6, 0.0, 0.0, -0.8]),
        (Clip::Norm(10.0), [-3.0, 0.0, 0.0, -4.0]),
        (Clip::Value(3.5), [-3.0, 0.0, 0.0, -3.5]),
    ] {
        let variables = [variable(&[0.0, 0.0])?, variable(&[0.0, 0.0])?];
        let updates: Vec<_> = ["a", "b"]
            .iter()
            .zip(variables.iter().zip(&gradients))
            .map(|(name, (variable, gradient))| Update {
                name,
                variable,
                gradient,
                learning_rate: 1.0,
                decay: None,
            })
            .collect();
        OptimizerState::new(Sgd::new(1.0)).step(&updates, clip)?;
        let values = [values(&variables[0]), values(&variables[1])].concat();
        for (a, e) in values.iter().zip(expected) {
            assert!((a - e).abs() < 1e-6, "{clip:?}: {values:?}");
        }
    }
    Ok(())
}

#[test]
fn a_parameters_own_decay_overrides_the_optimizers() -> Result<()> {
    let w = Var::new(&[2.0f32], &Device::Cpu)?;
    let gradient = Tensor::new(&[0.0f32], &Device::Cpu)?;
    let mut state = OptimizerState::new(Sgd::new(0.5).weight_decay(1.0));
    let mut step = |decay| -> Result<f64> {
        let update = update(&w, &gradient, 0.5);
        state.step(&[Update { decay, ..update }], Clip::None)?;
        Ok(values(&w)[0])
    };
    assert_eq!(step(Some(Decay::None))?, 2.0);
    assert_eq!(step(Some(Decay::Decoupled(0.5)))?, 1.5);
    assert_eq!(step(None)?, 0.75);
    Ok(())
}

/// The first update of two is legal.
#[test]
fn a_step_that_is_refused_changes_nothing() -> Result<()> {
    let (first, second) = (
        Var::zeros(2, DType::F32, &Device::Cpu)?,
        Var::zeros((2, 3), DType::F32, &Device::Cpu)?,
    );
    let (own, other) = (
        Tensor::ones(2, DType::F32, &Device::Cpu)?,
        Tensor::ones((2, 3), DType::F32, &Device::Cpu)?,
    );
    let turned = Tensor::ones((3, 2), DType::F32, &Device::Cpu)?;
    let mut state = OptimizerState::new(Sgd::new(0.1).momentum(0.9));
    let mut step = |gradient, rate, name| {
        let one = update(&first, &own, 0.1);
        let two = update(&second, gradient, rate);
        state.step(&[one, Update { name, ..two }], Clip::None)
    };
    for rate in [f64::NAN, f64::INFINITY, -0.1] {
        let error = step(&other, rate, "v").unwrap_err();
        let is_setting = matches!(error, Error::InvalidSetting { .. });
        assert!(is_setting, "{error}");
    }
    let error = step(&turned, 0.1, "v").unwrap_err();
    assert!(matches!(error, Error::Candle(_)), "{error}");
    assert_eq!(values(&first), [0.0, 0.0]);
    step(&other, 0.1, "v")?;
    assert_eq!(first.to_vec1::<f32>()?, [-0.1, -0.1]);
    let before = values(&first);
    let error = state.step(&[update(&second, &other, 0.1)], Clip::None);
    assert!(matches!(error, Err(Error::Unsupported { .. })), "{error:?}");
    assert_eq!(values(&first), before);
    Ok(())
}

#[test]
fn a_parameter_may_be_its_own_gradient() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let w = Var::from_tensor(&Tensor::new(&[1f64, -2.0], &Device::Cpu)?.to_dtype(dtype)?)?;
        OptimizerState::new(Sgd::new(0.5)).step(&[update(&w, &w, 0.5)], Clip::None)?;
        assert_eq!(values(&w), [0.5, -1.0]);
    }
    Ok(())
}

#[test]
fn an_epsilon_that_f32_takes_for_zero_is_refused() {
    let step = |optimizer: Optimizer| OptimizerState::new(optimizer).step(&[], Clip::None);
    for epsilon in [0.0, 1e-46, 1e-40, f64::INFINITY, f64::NAN] {
        let adam: Optimizer = Adam::new(0.1).epsilon(epsilon).into();
        for optimizer in [adam, RmsProp::new(0.1).epsilon(epsilon).into()] {
            let error = step(optimizer).unwrap_err();
            let is_setting = matches!(error, Error::InvalidSetting { .. });
            assert!(is_setting, "{epsilon}: {error}");
        }
    }
    let least = f64::from(f32::MIN_POSITIVE);
    assert!(step(Adam::new(0.1).epsilon(least).into()).is_ok());
}

/// `1e20 * 1e20` is beyond f32.
#[test]
fn no_square_overflows_a_norm() -> Result<()> {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let w = Var::zeros(1, dtype, &Device::Cpu)?;
        let gradient = Tensor::new(&[1e20f64], &Device::Cpu)?.to_dtype(dtype)?;
        OptimizerState::new(Sgd::new(1.0)).step(&[update(&w, &gradient, 1.0)], Clip::Norm(1.0))?;
        // A rounding of the factor, and one of the product.
        assert!(
            (values(&w)[0] + 1.0).abs() <= 2.0 * f64::from(f32::EPSILON),
            "{dtype:?}"
        );
    }
    Ok(())
}
