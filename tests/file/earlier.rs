//! Files that an earlier version wrote keep their meaning.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use vgg_surgery::graph::{Contract, Precision};
use vgg_surgery::model::LoadOptions;
use vgg_surgery::surgery::Prune;
use vgg_surgery::{Dense, Graph, Head, Model};

use crate::faults::changed;
use crate::{assert_same, bits, built, images, version_1, whole};

fn fixture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file");
    folder.join(name)
}

/// Version 1, with every kind of layer but custom ones, and what it computed.
#[test]
fn version_1_loads() {
    let model = Model::load(fixture("v1.safetensors"), &Device::Cpu).unwrap();
    let graph = model.graph();
    let diff = built(&version_1()).graph().diff(graph);
    assert!(diff.is_empty(), "{diff}");
    assert_eq!(graph.operations().last().unwrap().contract, Contract::Exact);
    assert_eq!(graph.labels().unwrap().len(), 7);
    assert!(graph.preprocessing().is_some());
    let expected = candle_core::safetensors::load(fixture("v1.values.safetensors"), &Device::Cpu);
    let expected = expected.unwrap();
    let values = model.forward_all(&images((1, 3, 12, 10))).unwrap();
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

/// The fixtures hold what this test's neighbors build.
#[test]
fn the_fixture_is_of_the_network_that_tests_use() {
    let loaded = Model::load(fixture("v1.safetensors"), &Device::Cpu).unwrap();
    let fresh = built(&version_1());
    let tensors =
        |model: &Model| -> Vec<Tensor> { model.parameters().map(|p| p.tensor.detach()).collect() };
    let all_bits = |model: &Model| -> Vec<_> { tensors(model).iter().map(bits).collect() };
    assert_eq!(all_bits(&loaded), all_bits(&fresh));
}

/// A model whose parameters were drawn from the start, drawn by an edit,
/// derived by one, and dropped.
fn edited() -> Model {
    let pruned = built(&whole()).prune_filters("block1_conv1", Prune::count(1));
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(2));
    let surgery = |graph: Graph| graph.truncate("block2_pool")?.attach(head);
    pruned.unwrap().edit(surgery).unwrap()
}

/// The record as version 1 had it: what was dropped beside the operations, and
/// edits by their words alone.
fn as_version_1(record: &mut Value) {
    let operations = record["graph"]["operations"].as_array_mut().unwrap();
    let (mut dropped, mut edits) = (Vec::new(), Vec::new());
    for operation in operations {
        let edit = operation["what"].clone();
        let gone = operation.as_object_mut().unwrap().remove("gone");
        for mut gone in gone
            .iter()
            .flat_map(|gone| gone.as_array().unwrap())
            .cloned()
        {
            gone["reason"] = edit.clone();
            dropped.push(gone);
        }
        edits.push(edit);
    }
    let (mut sources, mut parameters) = (Vec::new(), serde_json::Map::new());
    let listed = record["parameters"].take();
    for (key, parameter) in listed.as_object().unwrap() {
        let edit = &edits[parameter["by"].as_u64().unwrap() as usize];
        if parameter["derived"] == json!(true) {
            parameters.insert(key.clone(), json!({"source": sources.len()}));
            sources.push(json!({"words": edit, "derived": true, "place": null}));
        } else {
            let nodes = record["graph"]["nodes"].as_array_mut().unwrap();
            let (layer, _) = key.split_once('.').unwrap();
            let mut nodes = nodes.iter_mut();
            nodes.find(|node| node["name"] == layer).unwrap()["added_by"] = edit.clone();
        }
    }
    record["version"] = json!(1);
    record["graph"]["dropped"] = json!(dropped);
    (record["sources"], record["parameters"]) = (json!(sources), json!(parameters));
}

fn fates(graph: &Graph) -> Vec<String> {
    graph.provenance().iter().map(|p| p.to_string()).collect()
}

#[test]
fn version_1_keeps_its_history() {
    let model = edited();
    let bytes = changed(&model, as_version_1);
    let earlier = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    let fates = fates(earlier.graph());
    for fate in [
        "derived block1_conv1.weight [3, 3, 3, 3] by prune_filters(\"block1_conv1\", 1, L1)",
        "new     block2_conv1.weight [8, 4, 3, 3] by seed 7",
        "new     out.weight [2, 8] by attach(..)",
        "dropped block3_conv1.weight [16, 8, 3, 3] by truncate(\"block2_pool\")",
    ] {
        assert!(
            fates.iter().any(|found| found == fate),
            "{fate} is not in {fates:#?}"
        );
    }
    assert_same(&earlier, &model);
}

/// In version 1, a donor's layers kept the words of an edit that the ledger of
/// the host does not have.
#[test]
fn version_1_keeps_edits_of_another_network() {
    let model = edited();
    let bytes = changed(&model, |record| {
        as_version_1(record);
        record["graph"]["operations"] = json!([]);
    });
    let earlier = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    let expected = fates(model.graph());
    assert!(expected.iter().any(|fate| fate.contains("prune_filters")));
    assert_eq!(fates(earlier.graph()), expected);
    let frozen = earlier.graph().clone().freeze_all();
    assert_eq!(fates(&frozen), expected);
    let operations = frozen.operations();
    assert_eq!(operations.len(), 4);
    assert!(
        operations[..3]
            .iter()
            .all(|o| o.kept + o.derived + o.new + o.dropped == 0)
    );
    let again = Model::from_bytes(
        earlier.to_bytes().unwrap(),
        &Device::Cpu,
        &LoadOptions::new(),
    );
    assert_same(&again.unwrap(), &earlier);
}

/// Version 2, with values that were drawn, derived, dropped and rounded.
fn rounded() -> Model {
    edited().quantize_dense(Precision::Int8).unwrap()
}

#[test]
fn version_2_loads() {
    let model = Model::load(fixture("v2.safetensors"), &Device::Cpu).unwrap();
    assert_same(&model, &rounded());
    let fates = fates(model.graph());
    assert!(
        fates
            .iter()
            .any(|fate| fate.starts_with("derived out.weight")),
        "{fates:#?}"
    );
}
