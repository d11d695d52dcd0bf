use candle_core::{DType, Device, Module, Tensor};
use vgg_surgery::{BatchNorm2d, Dense, Dropout, Graph, Head, Model, Vgg16};

use crate::{assert_close, assert_same_bits, built, images, parameter, values};

const EPS: f64 = 1e-5;

fn normed(momentum: f64) -> Graph {
    let graph = Graph::new("g", (3, 4, 5)).unwrap();
    graph
        .attach(BatchNorm2d::new().momentum(momentum).named("bn"))
        .unwrap()
}

/// Mean and variance over `n` of each of three channels of `(N, 3, 4, 5)`.
fn statistics(x: &Tensor) -> ([f64; 3], [f64; 3]) {
    let channel = |c: usize| -> Vec<f64> {
        let values = values(&x.narrow(1, c, 1).unwrap());
        values.into_iter().map(f64::from).collect()
    };
    let mean = [0, 1, 2].map(|c| channel(c).iter().sum::<f64>() / channel(c).len() as f64);
    let variance = [0, 1, 2].map(|c| {
        let squares: f64 = channel(c).iter().map(|v| (v - mean[c]).powi(2)).sum();
        squares / channel(c).len() as f64
    });
    (mean, variance)
}

fn normalized(x: &Tensor, mean: [f64; 3], variance: [f64; 3]) -> Tensor {
    let row = |values: [f64; 3]| {
        let values = Tensor::new(&values, x.device()).unwrap();
        values.reshape((1, 3, 1, 1)).unwrap()
    };
    let deviation = variance.map(|v| (v + EPS).sqrt());
    x.to_dtype(candle_core::DType::F64)
        .and_then(|x| x.broadcast_sub(&row(mean)))
        .and_then(|x| x.broadcast_div(&row(deviation)))
        .unwrap()
}

/// torch.nn.BatchNorm2d: normalize with the batch's biased variance; running
/// statistics become `(1 - momentum) * old + momentum * new`, the new variance
/// unbiased.
#[test]
fn batch_norm_trains_as_pytorch() {
    for momentum in [0.1, 0.7] {
        let model = built(normed(momentum));
        let (mut mean, mut variance) = ([0.0; 3], [1.0; 3]);
        for batch in 1..4 {
            let x = (images((batch + 1, 3, 4, 5)) * batch as f64).unwrap();
            let (batch_mean, batch_variance) = statistics(&x);
            let y = model.forward_training(&x).unwrap();
            let expected = normalized(&x, batch_mean, batch_variance);
            assert_close(&y, &expected, 1e-5, "normalized with the batch");
            let count = ((batch + 1) * 20) as f64;
            for c in 0..3 {
                mean[c] = (1.0 - momentum) * mean[c] + momentum * batch_mean[c];
                let unbiased = batch_variance[c] * count / (count - 1.0);
                variance[c] = (1.0 - momentum) * variance[c] + momentum * unbiased;
            }
        }
        let running = |key: &str, expected: [f64; 3]| {
            let expected = Tensor::new(&expected, &candle_core::Device::Cpu).unwrap();
            assert_close(&parameter(&model, key), &expected, 1e-5, key);
        };
        running("bn.running_mean", mean);
        running("bn.running_var", variance);
        let x = images((1, 3, 4, 5));
        let expected = normalized(&x, mean, variance);
        assert_close(&model.forward(&x).unwrap(), &expected, 1e-5, "running");
    }
}

#[test]
fn a_frozen_batch_norm_uses_and_keeps_its_statistics() {
    let model = built(normed(0.5).freeze_all());
    let x = (images((2, 3, 4, 5)) + 3.0).unwrap();
    let y = model.forward_training(&x).unwrap();
    assert_close(&y, &normalized(&x, [0.0; 3], [1.0; 3]), 1e-6, "running");
    assert_same_bits(&model.forward(&x).unwrap(), &y, "as when it only runs");
    assert_eq!(values(&parameter(&model, "bn.running_mean")), [0.0; 3]);
    assert_eq!(values(&parameter(&model, "bn.running_var")), [1.0; 3]);
}

#[test]
fn running_only_leaves_the_statistics_alone() {
    let model = built(normed(0.5));
    model.forward(&images((2, 3, 4, 5))).unwrap();
    assert_eq!(values(&parameter(&model, "bn.running_mean")), [0.0; 3]);
}

#[test]
fn statistics_of_one_model_are_not_anothers() {
    let model = built(normed(0.5));
    let edited = model.edit(Ok).unwrap();
    model.forward_training(&images((2, 3, 4, 5))).unwrap();
    assert_eq!(values(&parameter(&edited, "bn.running_mean")), [0.0; 3]);
    let trained = parameter(&model, "bn.running_mean");
    let kept = model.edit(|graph| Ok(graph.freeze_all())).unwrap();
    assert_same_bits(&parameter(&kept, "bn.running_mean"), &trained, "kept");
}

fn dropping() -> Graph {
    let graph = Graph::new("g", 1000).unwrap();
    let drop = || Dropout::new(0.5);
    graph.attach([drop(), drop()]).unwrap()
}

#[test]
fn dropout_is_seeded() {
    let ones = Tensor::ones(
        (1, 1000),
        candle_core::DType::F32,
        &candle_core::Device::Cpu,
    )
    .unwrap();
    let draw = |model: &Model| values(&model.forward_training(&ones).unwrap());
    let (a, b) = (built(dropping().seed(1)), built(dropping().seed(1)));
    let first = draw(&a);
    assert_eq!(first, draw(&b));
    let second = draw(&a);
    assert_ne!(first, second, "every pass draws again");
    assert_eq!(second, draw(&b));
    assert_ne!(first, draw(&built(dropping().seed(2))));
    let through = values(&a.training_mode().forward(&ones).unwrap());
    assert_eq!(through, draw(&b));
    // Two independent masks leave a quarter, four times as large.
    let kept = first.iter().filter(|&&v| v != 0.0).count() as f64;
    assert!((kept - 250.0).abs() < 5.0 * (1000.0f64 * 0.25 * 0.75).sqrt());
    assert!(first.iter().all(|&v| v == 0.0 || v == 4.0));
    assert_eq!(values(&a.forward(&ones).unwrap()), [1.0; 1000]);
}

#[test]
fn gradients_reach_trainable_layers_only() {
    let graph = crate::two_blocks()
        .freeze_all()
        .attach(
            Head::new()
                .global_avg_pool2d("pool")
                .dense("out", Dense::new(2)),
        )
        .unwrap();
    let model = built(graph);
    let y = model.forward_training(&images((2, 3, 8, 8))).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for parameter in model.parameters() {
        let found = gradients.get(parameter.tensor).is_some();
        assert_eq!(found, parameter.layer == "out", "{}", parameter.layer);
    }
}

#[test]
fn only_training_and_what_is_not_frozen_record_gradients() {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let mut model = graph.build(&Device::Cpu).unwrap();
    let x = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    assert!(!model.forward(&x).unwrap().track_op());
    assert!(model.forward_training(&x).unwrap().track_op());
    model.freeze(..).unwrap();
    assert!(!model.forward_training(&x).unwrap().track_op());
    assert!(model.parameters().all(|p| !p.tensor.track_op()));
}
