//! Results of PyTorch, from tests/fixtures/explain/make.py.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use vgg_surgery::explain::Heatmap;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{Dense, Head, Model, Vgg16};

pub(crate) const CLASS: usize = 3;
pub(crate) const LAYER: &str = "relu4_2";

pub(crate) fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file)
}

pub(crate) fn oracle() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture("explain/explain.safetensors"), &Device::Cpu).unwrap()
}

/// The trunk of the fixture.
pub(crate) fn trunk() -> Model {
    trunk_of(DType::F32)
}

pub(crate) fn trunk_of(dtype: DType) -> Model {
    let options = Vgg16::options().widths(16).hidden(32).classes(10);
    let weights = fixture("golden/vgg16_w16.safetensors");
    let graph = options.pretrained_from(weights.as_path()).unwrap();
    let graph = graph.without_top().unwrap().freeze_all();
    let options = BuildOptions::new().dtype(dtype);
    graph.build_with(&Device::Cpu, &options).unwrap()
}

/// The trunk with the fixture's head, whose output layer is given.
pub(crate) fn classifier(dense: Dense) -> Model {
    let head = Head::new().global_avg_pool2d("gap").dense("scores", dense);
    let model = trunk().edit(|graph| graph.attach(head)).unwrap();
    let oracle = oracle();
    for variable in model.trainable_variables() {
        let name = if variable.dims().len() == 2 {
            "head.weight"
        } else {
            "head.bias"
        };
        variable.set(&oracle[name]).unwrap();
    }
    model
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// Asserts equality within this fraction of the largest expected magnitude.
pub(crate) fn assert_near(actual: &[f32], expected: &Tensor, share: f32, what: &str) {
    let expected = values(expected);
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    for (index, (a, e)) in actual.iter().zip(&expected).enumerate() {
        assert!(
            (a - e).abs() <= share * largest,
            "{what}: value {index} is {a}, not {e}, of at most {largest}"
        );
    }
}

pub(crate) fn assert_heat(heat: &Heatmap, expected: &Tensor, share: f32, what: &str) {
    assert_eq!(&[heat.height(), heat.width()], expected.dims(), "{what}");
    assert_near(heat.values(), expected, share, what);
}
