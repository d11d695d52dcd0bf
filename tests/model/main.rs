//! What models do: building, running, looking inside, editing, training mode,
//! images.

mod binary;
mod build;
mod custom;
mod edit;
mod forward;
mod hints;
mod memory;
#[path = "../support/noise.rs"]
mod noise;
mod predict;
mod program;
mod threads;
mod training;

use std::process::Command;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::{Error, Graph, Model, Vgg16};

/// VGG16 at 1/16 of its width, new, for images of any size and 10 classes.
fn whole() -> Graph {
    Vgg16::options()
        .widths(16)
        .hidden(32)
        .classes(10)
        .untrained(7)
        .unwrap()
}

fn two_blocks() -> Graph {
    whole().truncate("block2_pool").unwrap()
}

/// Runs one test in a process with these settings.
fn assert_passes_in(command: &mut Command) {
    let child = command.env("RAYON_NUM_THREADS", "2").output().unwrap();
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        child.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}

fn built(graph: Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

/// Values between -1 and 1 that look random, the same each time.
fn images(shape: impl Into<candle_core::Shape>) -> Tensor {
    noise::noise(shape, 0)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn assert_same_bits(actual: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let bits = |tensor| -> Vec<u32> { values(tensor).into_iter().map(f32::to_bits).collect() };
    assert_eq!(bits(actual), bits(expected), "{what}");
}

fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    for (index, (a, e)) in values(actual).iter().zip(values(expected)).enumerate() {
        assert!(
            (a - e).abs() <= tolerance * e.abs().max(1.0),
            "{what}: value {index} is {a}, not {e}"
        );
    }
}

/// Every value is off by no more than a part of the largest one.
fn assert_close_to_largest(actual: &Tensor, expected: &Tensor, part: f32, what: &str) {
    let largest = values(expected).into_iter().map(f32::abs);
    let scale = largest.fold(0.0, f32::max).recip() as f64;
    let scaled = |tensor: &Tensor| (tensor.to_dtype(DType::F32).unwrap() * scale).unwrap();
    assert_close(&scaled(actual), &scaled(expected), part, what);
}

/// Errors compare by variant and fields.
fn assert_error(actual: Error, expected: Error, what: &str) {
    assert_eq!(format!("{actual:?}"), format!("{expected:?}"), "{what}");
}

/// A parameter's tensor, by `layer.parameter`.
fn parameter(model: &Model, key: &str) -> Tensor {
    let found = model
        .parameters()
        .find(|parameter| format!("{}.{}", parameter.layer, parameter.name) == key);
    found.unwrap().tensor.clone()
}
