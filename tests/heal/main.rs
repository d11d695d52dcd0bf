//! Healing: a layer learns to give what the layers gave that it replaces.

mod compose;
mod distill;
mod errors;
mod least_squares;
mod origins;
mod progress;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::layers::Sequential;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{Graph, Image, Model, Preprocessing};

/// Numbers that look random, the same for a seed, between -1 and 1.
fn noise(count: usize, seed: u32) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        })
        .collect()
}

fn image(width: usize, height: usize, seed: u32) -> Image {
    let values = noise(3 * width * height, seed).into_iter();
    let bytes: Vec<u8> = values.map(|value| (value * 127.0 + 128.0) as u8).collect();
    Image::from_rgb8(width, height, bytes).unwrap()
}

fn images(count: u32, width: usize, height: usize) -> Vec<Image> {
    (0..count).map(|seed| image(width, height, seed)).collect()
}

/// A chain after an input `(3, height, width)` in f64, with biases and
/// running statistics that are not 0 and 1.
fn chain((height, width): (usize, usize), layers: impl Into<Sequential>) -> Model {
    let graph = Graph::new("g", (3, height, width)).unwrap();
    let graph = graph
        .attach(layers)
        .unwrap()
        .with_preprocessing(Preprocessing::new());
    let options = BuildOptions::new().dtype(DType::F64);
    let model = graph.build_with(&Device::Cpu, &options).unwrap();
    for (seed, variable) in (1000..).zip(model.trainable_variables()) {
        if variable.rank() == 1 {
            let values = noise(variable.elem_count(), seed);
            let values = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
            variable.set(&(values + 0.3).unwrap()).unwrap();
        }
    }
    let x = Tensor::from_vec(
        noise(2 * 3 * height * width, 77),
        (2, 3, height, width),
        &Device::Cpu,
    );
    model.forward_training(&x.unwrap()).unwrap();
    model
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    for (index, (a, e)) in values(actual).iter().zip(values(expected)).enumerate() {
        let close = (a - e).abs() <= tolerance * e.abs().max(1.0);
        assert!(close, "{what}: value {index} is {a}, not {e}");
    }
}

/// A parameter's tensor, by `layer.parameter`.
fn parameter(model: &Model, key: &str) -> Tensor {
    let mut parameters = model.parameters();
    let found = parameters.find(|p| format!("{}.{}", p.layer, p.name) == key);
    found.unwrap().tensor.clone()
}

/// All parameters' bits, by `layer.parameter`.
fn all_bits(model: &Model) -> Vec<(String, Vec<u64>)> {
    let parameters = model.parameters();
    parameters
        .map(|p| {
            let bits = values(p.tensor).into_iter().map(f64::to_bits);
            (format!("{}.{}", p.layer, p.name), bits.collect())
        })
        .collect()
}

fn input((height, width): (usize, usize), seed: u32) -> Tensor {
    let shape = (2, 3, height, width);
    Tensor::from_vec(noise(6 * height * width, seed), shape, &Device::Cpu).unwrap()
}
