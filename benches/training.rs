//! A step of the trainer, compared with the same operators called by hand: VGG16's
//! first two blocks, frozen, with the tutorial's head, on 32 images of 160x160.

use candle_core::{DType, Device, Tensor};
use divan::Bencher;
use vgg_surgery::data::Targets;
use vgg_surgery::model::backward;
use vgg_surgery::optim::{Clip, OptimizerState, Update};
use vgg_surgery::train::FeatureCache;
use vgg_surgery::{Conv2d, Dense, Head, Loss, Model, RmsProp, TensorDataset, Trainer, Vgg16};

fn main() {
    divan::main();
}

const BATCH: usize = 32;
const STEPS: usize = 2;

fn model() -> Model {
    let head = Head::new()
        .conv2d("head_conv", Conv2d::new(64, 3).relu())
        .max_pool2d("head_pool", 2)
        .flatten("head_flatten")
        .dense("head_fc", Dense::new(256).relu())
        .dropout("head_dropout", 0.5)
        .dense("head_out", Dense::new(10));
    Vgg16::untrained(0)
        .input((3, 160, 160))
        .and_then(|graph| graph.truncate("block2_pool"))
        .and_then(|graph| graph.freeze_all().attach(head))
        .and_then(|graph| graph.build(&Device::Cpu))
        .expect("the tutorial's network is legal")
}

fn images() -> Tensor {
    Tensor::rand(-1f32, 1f32, (BATCH * STEPS, 3, 160, 160), &Device::Cpu).expect("there is memory")
}

fn classes() -> Vec<usize> {
    (0..BATCH * STEPS).map(|index| index % 10).collect()
}

fn by_hand(model: &Model, x: &Tensor, optimizer: &mut OptimizerState) -> vgg_surgery::Result<()> {
    let variables = model.trainable_variables();
    let names: Vec<String> = (0..variables.len())
        .map(|index| index.to_string())
        .collect();
    for step in 0..STEPS {
        let x = x.narrow(0, step * BATCH, BATCH)?;
        let targets = Targets::Classes(classes()[step * BATCH..][..BATCH].to_vec());
        let scores = model.forward_training(&x)?;
        let loss = Loss::cross_entropy().compute(&scores, &targets, None)?;
        let mut gradients = backward(&loss)?;
        let taken: Vec<Option<Tensor>> = variables
            .iter()
            .map(|variable| gradients.take(variable))
            .collect::<candle_core::Result<_>>()?;
        let updates: Vec<Update<'_>> = variables
            .iter()
            .zip(&names)
            .zip(&taken)
            .filter_map(|((variable, name), gradient)| {
                Some(Update {
                    name,
                    variable,
                    gradient: gradient.as_ref()?,
                    learning_rate: 1e-4,
                    decay: None,
                })
            })
            .collect();
        optimizer.step(&updates, Clip::None)?;
    }
    Ok(())
}

#[divan::bench(sample_count = 15, sample_size = 1)]
fn two_steps_by_hand(bencher: Bencher<'_, '_>) {
    let (model, x) = (model(), images());
    let mut optimizer = OptimizerState::new(RmsProp::new(1e-4));
    bencher.bench_local(|| by_hand(&model, &x, &mut optimizer).expect("the images are legal"));
}

#[divan::bench(sample_count = 15, sample_size = 1)]
fn two_steps_of_the_trainer(bencher: Bencher<'_, '_>) {
    let mut model = model();
    let data = TensorDataset::new(images(), classes()).expect("there is a class for each");
    let mut trainer = Trainer::new(&mut model)
        .optimizer(RmsProp::new(1e-4))
        .feature_cache(FeatureCache::off());
    bencher.bench_local(|| {
        trainer
            .fit_without_validation(&data)
            .expect("the data are legal")
    });
}

#[divan::bench(sample_count = 15, sample_size = 1)]
fn two_steps_on_kept_features(bencher: Bencher<'_, '_>) {
    let mut model = model();
    let data = TensorDataset::new(images(), classes()).expect("there is a class for each");
    let mut trainer = Trainer::new(&mut model).optimizer(RmsProp::new(1e-4));
    trainer
        .fit_without_validation(&data)
        .expect("the data are legal");
    bencher.bench_local(|| {
        trainer
            .fit_without_validation(&data)
            .expect("the data are legal")
    });
}

/// A pass over 16,777,216 weights with their gradient.
#[divan::bench(sample_count = 15, args = ["sgd", "momentum", "rms_prop", "adam"])]
fn step_of_16_million_weights(bencher: Bencher<'_, '_>, optimizer: &str) {
    let weights = candle_core::Var::zeros(1 << 24, DType::F32, &Device::Cpu).expect("memory");
    let gradient = Tensor::ones(1 << 24, DType::F32, &Device::Cpu).expect("memory");
    let mut state = match optimizer {
        "sgd" => OptimizerState::new(vgg_surgery::Sgd::new(0.1)),
        "momentum" => OptimizerState::new(vgg_surgery::Sgd::new(0.1).momentum(0.9)),
        "rms_prop" => OptimizerState::new(RmsProp::new(0.1)),
        _ => OptimizerState::new(vgg_surgery::Adam::new(0.1)),
    };
    bencher.bench_local(|| {
        let update = Update {
            name: "w",
            variable: &weights,
            gradient: &gradient,
            learning_rate: 0.1,
            decay: None,
        };
        state
            .step(&[update], Clip::None)
            .expect("the gradient fits")
    });
}
