use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::graph::Contract;
use vgg_surgery::{Dense, Error, Graph, Head, Model, Vgg16, WeightSet};

/// A small trunk under a head of two dense layers.
fn graph() -> Graph {
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("head_fc", Dense::new(4).relu())
        .dense("head_out", Dense::new(2));
    Vgg16::nano()
        .truncate("block1_pool")
        .unwrap()
        .attach(head)
        .unwrap()
}

fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

/// Tensors of ones for the head, below a prefix.
fn ones(prefix: &str, shapes: &[(&str, &[usize])]) -> WeightSet {
    let tensors = shapes.iter().map(|&(name, shape)| {
        let tensor = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        (format!("{prefix}{name}"), tensor)
    });
    WeightSet::tensors(tensors.collect::<HashMap<_, _>>())
}

const HEAD: [(&str, &[usize]); 4] = [
    ("head_fc.weight", &[4, 8]),
    ("head_fc.bias", &[4]),
    ("head_out.weight", &[2, 4]),
    ("head_out.bias", &[2]),
];

fn sums(model: &Model) -> Vec<(String, f32)> {
    let sum = |tensor: &Tensor| tensor.sum_all().and_then(|sum| sum.to_scalar::<f32>());
    let parameters = model.parameters();
    let named = parameters.map(|parameter| {
        let name = format!("{}.{}", parameter.layer, parameter.name);
        (name, sum(parameter.tensor).unwrap())
    });
    named.collect()
}

#[test]
fn a_head_is_read_from_a_file_of_its_own() {
    let (plain, graph) = (built(&graph()), graph());
    let graph = graph
        .also_from(ones("net.", &HEAD), "head_fc"..="head_out")
        .unwrap();
    let model = built(&graph);
    let (before, now) = (sums(&plain), sums(&model));
    assert_eq!(now[..4], before[..4], "the trunk keeps its values");
    let head: Vec<f32> = now[4..].iter().map(|(_, sum)| *sum).collect();
    assert_eq!(head, [32.0, 4.0, 8.0, 2.0]);
    let report = model.graph().weights_report();
    assert_eq!(report.rows[4].tensor.as_deref(), Some("net.head_fc.weight"));
    assert_eq!(report.ignored(), ["net."]);
}

#[test]
fn a_built_model_takes_tensors_and_keeps_the_rest() {
    let mut model = built(&graph());
    let before = sums(&model);
    let report = model.load_tensors(ones("", &HEAD), "head_out").unwrap();
    assert_eq!(report.rows.len(), 2);
    let now = sums(&model);
    assert_eq!(now[..6], before[..6]);
    assert_eq!((now[6].1, now[7].1), (8.0, 2.0));
    let operations = model.graph().operations();
    let last = operations.iter().last().unwrap();
    assert_eq!(last.contract, Contract::Approximate);
    assert_eq!(last.layers, ["head_out"]);
}

#[test]
fn what_a_file_lacks_is_an_error_unless_the_set_is_partial() {
    let partial = || ones("", &HEAD[..3]);
    let mut model = built(&graph());
    let before = sums(&model);
    let error = model
        .load_tensors(partial(), "head_fc"..="head_out")
        .unwrap_err();
    assert!(matches!(error, Error::MissingTensor { key, .. } if key == "head_out.bias"));
    assert_eq!(sums(&model), before, "the model does not change");

    let report = model
        .load_tensors(partial().partial(), "head_fc"..="head_out")
        .unwrap();
    let now = sums(&model);
    assert_eq!(now[7], before[7], "it keeps the value that it has");
    assert_eq!(now[4].1, 32.0);
    let read: Vec<bool> = report.rows.iter().map(|row| row.tensor.is_some()).collect();
    assert_eq!(read, [true, true, true, false]);

    // A graph draws the value, as it would without the file.
    let also = graph()
        .also_from(partial().partial(), "head_fc"..="head_out")
        .unwrap();
    assert_eq!(sums(&built(&also))[7], before[7]);
}

#[test]
fn a_partial_set_must_have_something_in_the_right_shape() {
    let mut model = built(&graph());
    let none = ones("", &[("other.weight", &[1])]).partial();
    let error = model.load_tensors(none, "head_fc").unwrap_err();
    assert!(matches!(error, Error::MissingTensor { .. }), "{error}");
    let wide = ones("", &[("head_fc.weight", &[5, 8]), ("head_fc.bias", &[4])]).partial();
    let error = model.load_tensors(wide, "head_fc").unwrap_err();
    assert!(matches!(error, Error::TensorShape { actual, .. } if actual == [5, 8]));
    let twice = [("a.head_fc.bias", &[4][..]), ("b.head_fc.bias", &[4])];
    let error = model
        .load_tensors(ones("", &twice).partial(), "head_fc")
        .unwrap_err();
    assert!(matches!(error, Error::AmbiguousTensor { .. }), "{error}");
}

#[test]
fn a_layer_of_the_network_keeps_its_names_in_other_libraries() {
    let trunk = Vgg16::options().widths(64).untrained(0).unwrap();
    let graph = trunk.truncate("block1_conv1").unwrap();
    let set = ones(
        "",
        &[
            ("features.0.weight", &[1, 3, 3, 3]),
            ("features.0.bias", &[1]),
        ],
    );
    let pretrained = Vgg16::options()
        .widths(64)
        .pretrained_from("none.pth")
        .unwrap();
    let pretrained = pretrained.truncate("block1_conv1").unwrap();
    let model = built(&pretrained.also_from(set.clone(), "block1_conv1").unwrap());
    assert_eq!(sums(&model)[0].1, 27.0);
    // An untrained network knows its own names alone.
    let untrained = graph.also_from(set, "block1_conv1").unwrap();
    let error = untrained.build(&Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { key, .. } if key == "block1_conv1.weight"));
}
