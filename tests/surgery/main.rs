//! Structural operations held to their contracts: on random networks, and on
//! small ones whose values can be followed by hand.

mod approximate;
mod exact;
mod factors;
mod folding;
mod gray;
mod grown;
mod laws;
mod networks;
#[path = "../support/noise.rs"]
mod noise;
mod refused;
mod spread;
mod verified;

use candle_core::{DType, Device, Tensor};
use noise::noise;
use vgg_surgery::Model;
use vgg_surgery::graph::{Contract, Operation};
use vgg_surgery::model::LoadOptions;

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// The largest difference, relative to the largest value.
fn distance(actual: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(actual.dims(), expected.dims());
    let (actual, expected) = (values(actual), values(expected));
    let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, f32::max);
    let scale = most(&mut expected.iter().map(|v| v.abs())).max(1e-3);
    let pairs = actual.iter().zip(&expected);
    most(&mut pairs.map(|(a, e)| (a - e).abs())) / scale
}

fn last(model: &Model) -> &Operation {
    model.graph().operations().last().unwrap()
}

fn parameter(model: &Model, layer: &str, name: &str) -> Tensor {
    let mut all = model.parameters();
    let found = all.find(|parameter| parameter.layer == layer && parameter.name == name);
    found.unwrap().tensor.clone()
}

/// What every operation leaves: counts that add up, a contract that is told,
/// and a model that a file holds.
fn assert_sound(after: &Model, before: &Model, contract: Contract) {
    let operation = last(after);
    assert_eq!(operation.contract, contract, "{}", operation.what);
    let there = operation.kept + operation.derived + operation.new;
    assert_eq!(there, after.graph().parameter_count(), "{}", operation.what);
    let were = operation.kept + operation.dropped;
    assert_eq!(were, before.graph().parameter_count(), "{}", operation.what);
    let again = after.to_bytes().unwrap();
    let again = Model::from_bytes(again, &Device::Cpu, &LoadOptions::new()).unwrap();
    assert!(after.graph().diff(again.graph()).is_empty());
    assert_eq!(after.graph().operations(), again.graph().operations());
    assert_eq!(after.graph().provenance(), again.graph().provenance());
    for (a, b) in after.parameters().zip(again.parameters()) {
        assert_eq!(values(a.tensor), values(b.tensor));
    }
}
