//! The one file that holds a model: written, read, refused, and what other
//! programs make of it.

mod both_ways;
mod delta;
#[cfg(feature = "hub")]
mod delta_of_hub;
mod earlier;
mod faults;
mod labels;
mod mutations;
mod narrow;
#[path = "../support/noise.rs"]
mod noise;
mod onnx;
mod operated;
mod round_trip;
mod state_dict;
#[path = "../support/mod.rs"]
mod support;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vgg_surgery::graph::{NodeId, Shape};
use vgg_surgery::layers::{
    AdaptiveAvgPool2d, Add, Concat, Custom, CustomLayer, GlobalMaxPool2d, Init, Margins,
    ParameterSpec, Rescale, Upsample, ZeroPad2d,
};
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Flatten, GlobalAvgPool2d, Graph, Head,
    Labels, MaxPool2d, Model, Preprocessing, Vgg16,
};

/// VGG16 at 1/16 of its width, new, 10 classes.
fn whole() -> Graph {
    whole_of(7)
}

fn whole_of(seed: u64) -> Graph {
    let options = Vgg16::options().widths(16).hidden(32).classes(10);
    options.untrained(seed).unwrap()
}

fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

/// A graph of two outputs with every kind of layer but custom ones. Kinds that
/// version 1 did not have are inserted here.
fn every_kind() -> Graph {
    version_1()
}

/// The graph of the fixture v1.safetensors, 3x12x10, with every kind of layer
/// that version 1 had but custom ones.
fn version_1() -> Graph {
    let mut graph = Graph::new("every kind", (3, 12, 10)).unwrap();
    let margins = Margins {
        top: 1,
        bottom: 0,
        left: 2,
        right: 1,
    };
    let trunk = Head::new()
        .layer("rescale", Rescale::per_channel([0.5, 1.5, -1.0], [0.1]))
        .layer("pad", ZeroPad2d::with_margins(margins))
        .conv2d("conv", Conv2d::new(4, (3, 2)).same().stride((1, 2)).relu())
        .conv2d(
            "grouped",
            Conv2d::new(6, 3)
                .padding(margins)
                .groups(2)
                .dilation(2)
                .gelu(),
        )
        .batch_norm2d("norm", BatchNorm2d::new().eps(1e-3).tanh())
        .max_pool2d("max", MaxPool2d::new(3).stride(2).padding(1))
        .dropout("dropout", 0.25);
    graph = graph.attach(trunk).unwrap();
    let add = |graph: &mut Graph,
               name: &str,
               call: vgg_surgery::graph::LayerCall,
               from: &[NodeId]| { graph.add(name, call, from).unwrap() };
    let last = graph.outputs()[0];
    let like = graph.node_id("conv").unwrap();
    let g = &mut graph;
    let average = add(g, "average", AvgPool2d::new(2).padding(1).into(), &[last]);
    let up = add(g, "up", Upsample::to(last), &[average]);
    let sum = add(g, "sum", Add.into(), &[last, up]);
    let bilinear = add(
        g,
        "bilinear",
        Upsample::like().bilinear().sized_by(like),
        &[sum],
    );
    let join = add(g, "join", Concat::channels().into(), &[bilinear, like]);
    let fixed = add(g, "fixed", Upsample::fixed((9, 7)).into(), &[join]);
    let twice = add(g, "twice", Upsample::times((2, 1)).into(), &[fixed]);
    let adaptive = add(
        g,
        "adaptive",
        AdaptiveAvgPool2d::new((5, 3)).into(),
        &[twice],
    );
    let sigmoid = add(g, "sigmoid", Activation::Sigmoid.into(), &[adaptive]);
    let flat = add(g, "flat", Flatten::hwc().into(), &[sigmoid]);
    let dense = add(g, "dense", Dense::new(5).without_bias().into(), &[flat]);
    let mean = add(g, "mean", GlobalAvgPool2d.into(), &[adaptive]);
    let most = add(g, "most", GlobalMaxPool2d.into(), &[adaptive]);
    let both = add(g, "both", Concat::channels().into(), &[dense, mean, most]);
    let out = add(g, "out", Dense::new(7).softmax().into(), &[both]);
    let second = add(g, "flat_chw", Flatten::new().into(), &[bilinear]);
    let graph = graph.with_outputs([out, second]).unwrap();
    let classes = (0..7).map(|class| format!("class {class}"));
    graph
        .with_preprocessing(Preprocessing::caffe())
        .with_labels(Labels::new(classes))
        .unwrap()
        .freeze("conv"..="norm")
        .unwrap()
}

/// `x * weight * by`.
#[derive(Debug)]
struct Scale {
    by: f64,
}

impl CustomLayer for Scale {
    fn kind(&self) -> &str {
        "Scale"
    }

    fn settings(&self) -> Value {
        json!({ "by": self.by })
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let shape = [1, inputs[0].channels(), 1, 1];
        vec![ParameterSpec::new("weight", shape).init(Init::Normal(1.0))]
    }

    fn forward(
        &self,
        inputs: &[Tensor],
        parameters: &[Tensor],
        _training: bool,
    ) -> candle_core::Result<Tensor> {
        inputs[0].broadcast_mul(&parameters[0])? * self.by
    }
}

fn with_custom() -> Graph {
    scaled(whole())
}

/// The first block of a network with a custom layer after it.
fn scaled(graph: Graph) -> Graph {
    let graph = graph.truncate("block1_pool").unwrap();
    graph
        .attach(Custom::new(Scale { by: 0.3 }).named("scale"))
        .unwrap()
}

fn scales() -> LoadOptions {
    LoadOptions::new().custom("Scale", scale)
}

fn scale(settings: &Value) -> Result<Scale, &'static str> {
    let by = settings.get("by").and_then(Value::as_f64);
    by.map(|by| Scale { by }).ok_or("by is missing")
}

/// Values between -1 and 1 that look random, the same each time.
fn images(shape: impl Into<candle_core::Shape>) -> Tensor {
    noise::noise(shape, 0)
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    let values = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    let values: Vec<f64> = values.to_vec1().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// Every parameter, by `layer.parameter`.
fn parameters(model: &Model) -> Vec<(String, DType, Vec<u64>, bool)> {
    let each = model.parameters().map(|parameter| {
        (
            format!("{}.{}", parameter.layer, parameter.name),
            parameter.tensor.dtype(),
            bits(parameter.tensor),
            parameter.is_trainable,
        )
    });
    each.collect()
}

fn assert_same(actual: &Model, expected: &Model) {
    assert!(expected.graph().diff(actual.graph()).is_empty());
    assert_eq!(actual.graph().name(), expected.graph().name());
    assert_eq!(
        actual.graph().preprocessing(),
        expected.graph().preprocessing()
    );
    assert_eq!(actual.graph().labels(), expected.graph().labels());
    assert_eq!(actual.graph().license(), expected.graph().license());
    assert_eq!(actual.graph().operations(), expected.graph().operations());
    assert_eq!(actual.graph().provenance(), expected.graph().provenance());
    assert_same_parameters(actual, expected);
}

/// Values, types and whether they are trained, without printing thousands of
/// them.
fn assert_same_parameters(actual: &Model, expected: &Model) {
    let (actual, expected) = (parameters(actual), parameters(expected));
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        assert!(
            actual == expected,
            "{} differs from {}",
            actual.0,
            expected.0
        );
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
