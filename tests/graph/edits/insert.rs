use candle_core::Tensor;
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Custom, CustomLayer, NamedLayer};
use vgg_surgery::{Activation, BatchNorm2d, Dense, Dropout, Error, Graph, Head, MaxPool2d, Vgg16};

use super::splice::{REST, then_rest};
use super::{
    BARE11, CONV11, CONV12, CONV21, CONV22, INPUT, POOL1, POOL2, RELU11, assert_sound, fails,
    fails_trained, gives, illegal,
};
use crate::{assert_error, lines, two_blocks, two_trained_blocks};

#[test]
fn a_split_off_activation_takes_the_names_behind_it_along() {
    let graph = Vgg16::untrained(0);
    let drop = Dropout::new(0.1).named("d");
    let graph = graph.insert_before("classifier.1", drop).unwrap();
    for (name, layer) in [
        ("classifier.0", "fc1"),
        ("pre_logits.fc1", "fc1"),
        ("fc6", "fc1"),
        ("classifier.1", "fc1_relu"),
        ("relu6", "fc1_relu"),
        ("classifier.2", "fc1_relu"),
    ] {
        assert_eq!(graph.node(name).unwrap().name(), layer, "{name}");
    }
}

/// What Caffe calls the last activation.
#[derive(Debug)]
struct Prob;

impl CustomLayer for Prob {
    fn kind(&self) -> &str {
        "Prob"
    }

    fn infer(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        Ok(inputs[0])
    }

    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        Ok(inputs[0].clone())
    }
}

#[test]
fn a_new_layer_is_not_called_what_another_is_called_elsewhere() {
    let graph = Vgg16::untrained(0);
    let graph = graph.insert_after("fc2", Custom::new(Prob)).unwrap();
    assert_eq!(graph.node("prob").unwrap().name(), "predictions");
    assert!(graph.node("prob_1").is_ok());
}

#[test]
fn insert_before_and_after() {
    let norm = "batch_norm2d BatchNorm2d (4, 32, 32)";
    gives(
        "before a layer",
        |g| g.insert_before("block1_conv2", BatchNorm2d::new()),
        &then_rest(&[INPUT, CONV11, norm]),
    );
    gives(
        "after a layer",
        |g| g.insert_after("block1_conv1", BatchNorm2d::new()),
        &then_rest(&[INPUT, CONV11, norm]),
    );
    gives(
        "after Caffe's ReLU",
        |g| g.insert_after("relu1_1", BatchNorm2d::new()),
        &then_rest(&[INPUT, CONV11, norm]),
    );
    let between = then_rest(&[INPUT, BARE11, norm, RELU11]);
    gives(
        "between convolution and ReLU, by :pre",
        |g| g.insert_after("block1_conv1:pre", BatchNorm2d::new()),
        &between,
    );
    gives(
        "the same, by torchvision's convolution",
        |g| g.insert_after("features.0", BatchNorm2d::new()),
        &between,
    );
    gives(
        "the same, before torchvision's ReLU",
        |g| g.insert_before("features.1", BatchNorm2d::new()),
        &between,
    );
    gives(
        "after the input",
        |g| g.insert_after("input", BatchNorm2d::new()),
        &[
            &[INPUT, "batch_norm2d BatchNorm2d (3, 32, 32)", CONV11][..],
            &REST,
        ]
        .concat(),
    );
    gives(
        "after the output",
        |g| g.insert_after("block2_pool", [Activation::Tanh, Activation::Tanh]),
        &[
            &[INPUT, CONV11][..],
            &REST,
            &[
                "activation Activation+tanh (8, 8, 8)",
                "activation_1 Activation+tanh (8, 8, 8)",
            ],
        ]
        .concat(),
    );
    gives(
        "nothing",
        |g| g.insert_after("block1_conv1", Head::new()),
        &then_rest(&[INPUT, CONV11]),
    );
    fails(
        "before the input",
        |g| g.insert_before("input", BatchNorm2d::new()),
        illegal(
            "input",
            "it does not have exactly one input; use insert_after on one of its inputs",
        ),
    );
}

#[test]
fn remove() {
    gives(
        "a pool",
        |g| g.remove("block1_pool"),
        &[
            INPUT,
            CONV11,
            CONV12,
            "block2_conv1 Conv2d+relu (8, 32, 32)",
            "block2_conv2 Conv2d+relu (8, 32, 32)",
            "block2_pool MaxPool2d (8, 16, 16)",
        ],
    );
    gives(
        "a ReLU",
        |g| g.remove("relu1_1"),
        &then_rest(&[INPUT, BARE11]),
    );
    gives(
        "a convolution under its ReLU",
        |g| g.remove("features.2"),
        &[
            INPUT,
            CONV11,
            "block1_conv2_relu Activation+relu (4, 32, 32)",
            POOL1,
            CONV21,
            CONV22,
            POOL2,
        ],
    );
    let second = [INPUT, POOL1, CONV21, CONV22, POOL2];
    let second = second.map(|line| match line {
        POOL1 => "block1_pool MaxPool2d (3, 16, 16)",
        line => line,
    });
    gives("a range", |g| g.remove(1..3), &second);
    gives(
        "a list out of order, one twice",
        |g| g.remove(["conv1_2", "conv1_1", "conv1_2"]),
        &second,
    );
    gives(
        "both parts of a layer, one by one",
        |g| g.remove(["features.1", "features.0", "conv1_2"]),
        &second,
    );
    gives(
        "a whole layer and a part of it",
        |g| g.remove(["features.0", "conv1_1", "conv1_2"]),
        &second,
    );
    gives("all but the input", |g| g.remove(1..), &[INPUT]);
    fails(
        "the input",
        |g| g.remove(..),
        illegal("input", "the input stays; set its shape with input(..)"),
    );
    fails_trained(
        "trained layers keep their shape",
        |g| g.remove("block2_conv1"),
        Error::ShapeMismatch {
            layer: "block2_conv2".to_string(),
            expected: "the input that its weight [8, 8, 3, 3] was made for \
                       (reinitialize(\"block2_conv2\") first to start it from scratch)"
                .to_string(),
            actual: Shape::map(4, 16, 16),
        },
    );
}

#[test]
fn attach() {
    let graph = two_trained_blocks()
        .freeze_all()
        .attach(
            Head::new()
                .flatten("flat")
                .dense("fc", Dense::new(5).relu())
                .dropout("drop", 0.5)
                .layer("out", Dense::new(3).softmax()),
        )
        .unwrap();
    let lines = lines(&graph);
    assert_eq!(
        lines[6..],
        [
            "block2_pool* MaxPool2d (8, 8, 8)",
            "flat Flatten (512)",
            "fc Dense+relu (5)",
            "drop Dropout (5)",
            "out Dense+softmax (3)",
        ]
    );
    assert_sound(&graph);
    let all = [&[INPUT, CONV11][..], &REST].concat();
    gives("nothing", |g| g.attach(Head::new()), &all);
    gives(
        "one layer",
        |g| g.attach(NamedLayer::from(MaxPool2d::new(8))),
        &[&all[..], &["max_pool2d MaxPool2d (8, 1, 1)"]].concat(),
    );
    fails(
        "to an unknown size",
        |g| {
            g.input(Shape::any_size(3))?
                .attach(Head::new().flatten("flat"))
        },
        Error::UnknownSize {
            layer: "flat".to_string(),
            actual: Shape::any_size(8),
        },
    );
    fails(
        "to two outputs",
        |g| {
            g.with_outputs(["pool1", "pool2"])?
                .attach(MaxPool2d::new(2))
        },
        illegal(
            "block1_pool",
            "attach needs one output, but there are 2; choose one with truncate, or use add",
        ),
    );
    fails(
        "twice the same name",
        |g| g.attach(Head::new().flatten("x").flatten("x")),
        Error::DuplicateName {
            name: "x".to_string(),
        },
    );
}

#[test]
fn append() {
    let second = || two_blocks().slice("block2_conv1"..).unwrap();
    gives(
        "another graph",
        |g| g.truncate("block1_pool")?.append(second()),
        &[INPUT, CONV11, CONV12, POOL1, CONV21, CONV22, POOL2],
    );
    gives(
        "a graph that is but an input",
        |g| {
            g.truncate("input")?
                .append(Graph::new("nothing", 3)?.input((3, 32, 32))?)
        },
        &[INPUT],
    );
    let (front, back) = two_blocks().split_at("block1_conv1").unwrap();
    assert_eq!(
        lines(&front.append(back).unwrap()),
        [&[INPUT, CONV11][..], &REST].concat()
    );
    gives(
        "a copy of itself, under a prefix",
        |g| {
            let block = g.clone().slice("block1_conv2")?;
            let copy = block.prefix("again_")?;
            g.truncate("block1_conv1")?.append(copy)
        },
        &[INPUT, CONV11, "again_block1_conv2 Conv2d+relu (4, 32, 32)"],
    );
    fails(
        "a copy of itself",
        |g| {
            g.clone()
                .slice("block1_conv2")?
                .append(g.slice("block1_conv2")?)
        },
        Error::DuplicateName {
            name: "block1_conv2".to_string(),
        },
    );
    fails(
        "what takes another shape",
        |g| g.truncate("block1_conv1")?.append(second()),
        Error::ShapeMismatch {
            layer: "input".to_string(),
            expected: "(4, 16, 16)".to_string(),
            actual: Shape::map(4, 32, 32),
        },
    );
    let error = two_blocks()
        .with_outputs(["pool1", "pool2"])
        .and_then(|graph| graph.append(second()))
        .unwrap_err();
    let reason = "append needs one output, but there are 2; choose one with truncate, or use add";
    assert_error(error, illegal("block1_pool", reason), "two outputs");
}
