//! Every error that layers, graphs, the family and models can give, provoked:
//! its layer and its words.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::TrainingError;
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Add, Custom, CustomLayer};
use vgg_surgery::{Conv2d, Dense, Error, Flatten, Graph, Result, Vgg16, WeightSet};

use crate::{two_blocks, two_trained_blocks, whole};

#[derive(Debug)]
struct Broken;

impl CustomLayer for Broken {
    fn kind(&self) -> &str {
        "Broken"
    }
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, _: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        candle_core::bail!("out of order")
    }
}

fn zeros(shape: (usize, usize, usize, usize)) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

pub fn of<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => error,
    }
}

fn twins() -> Graph {
    let twin = two_blocks().slice("block1_conv2").unwrap();
    let twin = twin.rename("block1_conv2", "twin").unwrap();
    let front = two_blocks().truncate("block1_conv2").unwrap();
    front.append(twin).unwrap()
}

/// The error, the layer it names, and what it says.
fn of_names() -> Vec<(Error, Option<&'static str>, &'static str)> {
    let foreign = whole().node_id("fc1").unwrap();
    vec![
        (
            of(two_blocks().truncate("block1_pol")),
            Some("block1_pol"),
            "no layer is named \"block1_pol\"; near it: \"block1_pool\", \"block2_pool\", \
             \"block1_conv1\"",
        ),
        (
            of(two_blocks().truncate("凸")),
            Some("凸"),
            "no layer is named \"凸\"; summary() lists them",
        ),
        (
            of(twins().node("conv1_2")),
            Some("conv1_2"),
            "\"conv1_2\" could be any of \"block1_conv2\", \"twin\"; use one of these names",
        ),
        (
            of(two_blocks().rename("pool1", "block2_pool")),
            Some("block2_pool"),
            "a layer named \"block2_pool\" is there already; choose another name or use prefix()",
        ),
        (
            of(two_blocks().rename("pool1", "a:b")),
            Some("a:b"),
            "\"a:b\" can't name a layer: a colon parts a name from \"pre\"",
        ),
        (
            of(two_blocks().node(foreign)),
            None,
            "this node handle does not belong to the graph; look the layer up again by name",
        ),
        (
            of(two_blocks().layer::<Dense>("pool1")),
            Some("block1_pool"),
            "layer \"block1_pool\" is a MaxPool2d, not a Dense",
        ),
        (
            of(two_blocks().freeze(7..)),
            None,
            "layers 7.. selects no layer; the graph has 7 layers",
        ),
        (
            of(two_blocks().freeze("pool2"..="pool1")),
            None,
            "\"block2_pool\" comes after \"block1_pool\"; swap them",
        ),
        (
            of(two_blocks().freeze(..9)),
            None,
            "layers 0..9 were asked for, but the graph has 7 layers",
        ),
        (
            of(two_blocks().remove("input")),
            Some("input"),
            "can't edit at \"input\": the input stays; set its shape with input(..)",
        ),
        (
            of(two_blocks().node_id("features.0")),
            Some("block1_conv1"),
            "can't edit at \"block1_conv1\": \"features.0\" is the value before its activation, \
             which has no node; set the layer's activation to linear with replace, or use \
             insert_after(\"features.0\", ..)",
        ),
    ]
}

fn of_layers() -> Vec<(Error, Option<&'static str>, &'static str)> {
    let unsized_blocks = two_blocks().input(Shape::any_size(3)).unwrap();
    vec![
        (
            of(two_blocks().attach(Conv2d::new(0, 3).named("x"))),
            Some("x"),
            "layer \"x\": out_channels 0 must be from 1 to 16777216",
        ),
        (
            of(two_blocks().attach(Add.named("x"))),
            Some("x"),
            "layer \"x\" takes at least 2 inputs, but got 1",
        ),
        (
            of(two_blocks().attach(Dense::new(1).named("x"))),
            Some("x"),
            "layer \"x\" expects a vector (F); put a Flatten or a global pool before it, but gets \
             (8, 8, 8)",
        ),
        (
            of(two_trained_blocks().remove("conv2_1")),
            Some("block2_conv2"),
            "layer \"block2_conv2\" expects the input that its weight [8, 8, 3, 3] was made for \
             (reinitialize(\"block2_conv2\") first to start it from scratch), but gets (4, 16, 16)",
        ),
        (
            of(unsized_blocks.attach(Flatten::new().named("x"))),
            Some("x"),
            "layer \"x\" needs a known height and width, but gets (8, ?, ?); set them with \
             input((channels, height, width)), or put a global pooling layer before it",
        ),
        (
            of(two_blocks().input((3, 2, 32))),
            Some("block2_pool"),
            "layer \"block2_pool\" needs at least 2x2 pixels, but gets (8, 1, 16); use a larger \
             input or remove a pool before it",
        ),
        (
            of(Vgg16::options().widths(0).untrained(0)),
            None,
            "the model can't be made of these options: widths(0) would leave no filters; use 1 or \
             more",
        ),
    ]
}

fn of_models() -> Vec<(Error, Option<&'static str>, &'static str)> {
    let model = two_blocks().build(&Device::Cpu).unwrap();
    let broken = Graph::new("g", (1, 2, 2)).unwrap();
    let broken = broken.attach(Custom::new(Broken).named("x")).unwrap();
    let broken = broken.build(&Device::Cpu).unwrap();
    let stored = |name: &str, shape| {
        let tensors = HashMap::from([(name.to_string(), zeros(shape))]);
        let options = Vgg16::options().widths(16);
        let graph = options.pretrained_from(WeightSet::tensors(tensors));
        let graph = graph.unwrap().truncate("features.0").unwrap();
        of(graph.build(&Device::Cpu))
    };
    vec![
        (
            of(model.forward(&zeros((1, 1, 32, 32)))),
            None,
            "the model takes (N, 3, 32, 32), but got [1, 1, 32, 32]",
        ),
        (
            of(model.graph().build(&Device::Cpu)),
            Some("block1_conv1"),
            "\"weight\" of layer \"block1_conv1\" belongs to the model that the graph comes from; \
             edit that model with Model::edit, or copy its values with Model::transplant or \
             WeightSet::from(&model)",
        ),
        (
            of(broken.forward(&zeros((1, 1, 2, 2)))),
            Some("x"),
            "layer \"x\": out of order",
        ),
        (
            stored("features.0.weight", (4, 3, 5, 5)),
            None,
            "tensor \"features.0.weight\" in tensors in memory has shape [4, 3, 5, 5], but \
             [4, 3, 3, 3] is needed",
        ),
    ]
}

#[test]
fn every_error_names_its_layer_and_says_what_to_do() {
    for (error, layer, text) in [of_names(), of_layers(), of_models()].concat_all() {
        let said = error.to_string();
        let first_line = said.lines().next().unwrap();
        assert_eq!(first_line, text);
        assert_eq!(error.layer(), layer, "{text}");
        assert!(!text.ends_with('.'), "{text}");
        let first = text.chars().next().unwrap();
        assert!(!first.is_uppercase(), "{text}");
    }
}

/// `concat` asks for clones, which errors don't have.
trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn a_missing_tensor_is_named_with_all_that_was_tried() {
    let tensors = HashMap::from([("features.1.weight".to_string(), zeros((4, 3, 3, 3)))]);
    let graph = Vgg16::options()
        .widths(16)
        .pretrained_from(WeightSet::tensors(tensors))
        .and_then(|graph| graph.truncate("features.0"))
        .unwrap();
    match of(graph.build(&Device::Cpu)) {
        Error::MissingTensor {
            key,
            tried,
            file,
            nearest,
            ..
        } => {
            assert_eq!(key, "features.0.weight");
            assert_eq!(nearest, ["features.1.weight"]);
            assert_eq!(file, "tensors in memory");
            assert!(tried.contains(&"block1_conv1.weight".to_string()));
            assert!(tried.contains(&"block1_conv1/kernel:0".to_string()));
        }
        error => panic!("{error}"),
    }
}

#[cfg(not(feature = "hub"))]
#[test]
fn the_hub_needs_its_feature() {
    let graph = Vgg16::pretrained().truncate("conv1_1").unwrap();
    let error = of(graph.build(&Device::Cpu));
    assert!(matches!(
        &error,
        Error::MissingFeature { feature: "hub", .. }
    ));
    assert!(
        error
            .to_string()
            .ends_with("needs the feature \"hub\" of vgg-surgery")
    );
}

#[test]
fn candles_errors_are_printed_and_not_returned_as_a_source() {
    let broken = Graph::new("g", (1, 2, 2)).unwrap();
    let broken = broken.attach(Custom::new(Broken)).unwrap();
    let broken = broken.build(&Device::Cpu).unwrap();
    let error = of(broken.forward(&zeros((1, 1, 2, 2))));
    assert!(error.source().is_none());
    assert!(error.to_string().contains("out of order"));
    let candle = Error::from(candle_core::Error::Msg("no device".to_string()));
    assert_eq!(candle.to_string(), "no device");
    assert_eq!(candle.layer(), None);
    assert!(candle.source().is_none());
}

/// The error of a user's callback.
#[derive(Debug)]
struct Rejected(std::io::Error);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the report was rejected")
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// As `main` prints them.
#[test]
fn debug_prints_the_message_and_its_causes() {
    let plain = of(two_blocks().rename("pool1", "a:b"));
    assert_eq!(format!("{plain:?}"), plain.to_string());
    let rejected = Rejected(std::io::Error::other("the server is busy"));
    let error = Error::from(TrainingError::User(Box::new(rejected)));
    assert_eq!(
        format!("{error:?}"),
        "the report was rejected\n\nCaused by:\n    the server is busy"
    );
}
