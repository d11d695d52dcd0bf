//! Training: losses, schedules, the trainer, its checkpoints and its reports.

mod binary;
mod cache;
mod callbacks;
mod checks;
mod divergence;
mod ends;
mod fit;
mod fit_refused;
mod going_on;
mod gradients;
#[cfg(feature = "image")]
mod gray;
mod histories;
#[cfg(all(feature = "ctrlc", unix))]
mod interrupt;
mod labels;
mod load_weights;
mod losses;
mod metrics;
mod multi_label;
#[path = "../support/noise.rs"]
mod noise;
mod optimizers;
mod outcomes;
mod overflow;
mod pixels;
mod plots;
mod refused;
mod resume;
mod schedules;
mod stages;
mod tutorial;
mod version_1;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use noise::noise;
use serde_json::Value;
use vgg_surgery::train::StopReason;
use vgg_surgery::{BatchNorm2d, Conv2d, Dense, Graph, Head, Model, TensorDataset, Vgg16};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The results of `fixtures/training/make.py`.
fn golden() -> Value {
    let text = std::fs::read_to_string(fixture("training/golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn assert_near(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        let close = (a - e).abs() <= tolerance * e.abs().max(1.0);
        assert!(close, "{what}: value {index} is {a}, not {e}");
    }
}

/// Images of two classes that differ in their mean.
fn two_kinds(count: usize, side: usize, seed: u32) -> TensorDataset {
    let classes: Vec<usize> = (0..count).map(|index| index % 2).collect();
    let offsets: Vec<f32> = classes.iter().map(|&class| class as f32 - 0.5).collect();
    let offsets = Tensor::from_vec(offsets, (count, 1, 1, 1), &Device::Cpu).unwrap();
    let x = noise((count, 3, side, side), seed);
    let x = x.broadcast_add(&offsets).unwrap();
    TensorDataset::new(x, classes).unwrap()
}

/// Two frozen blocks of VGG16 at 1/16 of its width under a head with dropout
/// and batch norm.
fn graph() -> Graph {
    Vgg16::options()
        .widths(16)
        .untrained(7)
        .unwrap()
        .truncate("block2_pool")
        .unwrap()
        .freeze_all()
        .attach(
            Head::new()
                .conv2d("head_conv", Conv2d::new(4, 3).same().relu())
                .batch_norm2d("head_bn", BatchNorm2d::new())
                .global_avg_pool2d("head_pool")
                .dense("head_fc", Dense::new(6).relu())
                .dropout("head_dropout", 0.25)
                .dense("head_out", Dense::new(2).softmax()),
        )
        .unwrap()
}

fn built(graph: Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

fn stopped_by(name: &str) -> StopReason {
    let by = name.to_string();
    StopReason::Stopped { by }
}

/// Every parameter's bits, by name.
fn weights(model: &Model) -> Vec<(String, Vec<u64>)> {
    let parameters = model.parameters().map(|parameter| {
        let values = values(parameter.tensor).into_iter().map(f64::to_bits);
        (
            format!("{}.{}", parameter.layer, parameter.name),
            values.collect(),
        )
    });
    parameters.collect()
}
