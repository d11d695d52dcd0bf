//! The networks against what torchvision and Keras compute with the same
//! weights.

#[path = "../support/devices.rs"]
mod devices;
mod networks;
mod trunk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

type Tensors = HashMap<String, Tensor>;

fn read(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn fixture(file: &str) -> PathBuf {
    Path::new(ROOT).join("tests/fixtures").join(file)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(candle_core::DType::F64)
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Mean, standard deviation, minimum and maximum; `ddof` is 1 for the
/// deviation over n - 1.
fn stats(tensor: &Tensor, ddof: usize) -> [f64; 4] {
    let values = values(tensor);
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let std = (squares / (count - ddof as f64)).sqrt();
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean, std, min, max]
}

/// What the kernels' tests allow one layer, as a fraction of its largest value.
/// The roundings of layers in a row cancel for the most part: they reach 2e-6
/// here.
const CLOSE: f64 = 1e-5;

/// Each statistic close to the expected one, by it or by the deviation where
/// that is larger (a mean may be near zero).
fn assert_stats(actual: [f64; 4], expected: &Tensor, what: &str) {
    let expected = values(expected);
    for (index, name) in ["mean", "std", "min", "max"].iter().enumerate() {
        let (actual, expected, std) = (actual[index], expected[index], expected[1]);
        assert!(
            (actual - expected).abs() <= CLOSE * expected.abs().max(std),
            "{what} {name}: {actual} is not {expected}"
        );
    }
}

/// Each value close to the expected one, by the largest of them.
fn assert_close(actual: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let (actual, expected) = (values(actual), values(expected));
    let largest = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let worst = actual
        .iter()
        .zip(&expected)
        .map(|(a, e)| (a - e).abs())
        .fold(0.0, f64::max);
    assert!(
        worst <= CLOSE * largest,
        "{what}: off by {worst}, values reach {largest}"
    );
}
