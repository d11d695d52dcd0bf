//! Files that an earlier version wrote keep their meaning.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use vgg_surgery::{Contract, LoadOptions, Model};

use crate::{bits, built, every_kind, pictures};

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file");
    folder.join(name)
}

/// Version 1, with every kind of layer but custom ones, and what it computed.
#[test]
fn version_1_loads() {
    let model = Model::load(fixture("v1.safetensors"), &Device::Cpu).unwrap();
    let graph = model.graph();
    assert!(every_kind().diff(graph).added.is_empty());
    assert_eq!(graph.operations().last().unwrap().contract, Contract::Exact);
    assert_eq!(graph.labels().unwrap().len(), 7);
    assert!(graph.preprocessing().is_some());
    let expected = candle_core::safetensors::load(fixture("v1.values.safetensors"), &Device::Cpu);
    let expected = expected.unwrap();
    let values = model.forward_all(&pictures((1, 3, 12, 10))).unwrap();
    assert_eq!((values.len(), expected.len()), (2, 2));
    for (index, value) in values.iter().enumerate() {
        let expected = &expected[&format!("output{index}")];
        let off = (value - expected)
            .unwrap()
            .abs()
            .unwrap()
            .flatten_all()
            .unwrap();
        let off: f32 = off.max(0).unwrap().to_scalar().unwrap();
        assert!(off < 1e-5, "output {index} is off by {off}");
    }
    let again = model.to_bytes().unwrap();
    let again = Model::from_bytes(again, &Device::Cpu, &LoadOptions::new()).unwrap();
    assert!(graph.diff(again.graph()).is_empty());
}

/// The fixtures hold what this test's neighbours build.
#[test]
fn the_fixture_is_of_the_network_that_tests_use() {
    let loaded = Model::load(fixture("v1.safetensors"), &Device::Cpu).unwrap();
    let fresh = built(&every_kind());
    let tensors =
        |model: &Model| -> Vec<Tensor> { model.parameters().map(|p| p.tensor.detach()).collect() };
    let all_bits = |model: &Model| -> Vec<_> { tensors(model).iter().map(bits).collect() };
    assert_eq!(all_bits(&loaded), all_bits(&fresh));
}
