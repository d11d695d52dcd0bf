use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Add, Input, ZeroPad2d};
use vgg_surgery::{Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Error, Head, MaxPool2d};

use super::{
    BARE11, CONV11, CONV12, CONV21, CONV22, INPUT, POOL1, POOL2, RELU11, fails, fails_trained,
    gives, illegal,
};
use crate::two_blocks;

pub const REST: [&str; 5] = [CONV12, POOL1, CONV21, CONV22, POOL2];

pub fn then_rest(first: &[&'static str]) -> Vec<&'static str> {
    [first, &REST].concat()
}

#[test]
fn replace_one() {
    gives(
        "an unnamed layer takes over the name",
        |g| g.replace("block1_conv1", Conv2d::new(4, 5).same().gelu()),
        &then_rest(&[INPUT, "block1_conv1 Conv2d+gelu (4, 32, 32)"]),
    );
    gives(
        "a named one keeps its own",
        |g| g.replace("conv1_1", Conv2d::new(4, 5).same().named("mine")),
        &then_rest(&[INPUT, "mine Conv2d (4, 32, 32)"]),
    );
    gives(
        "new layers that follow take the new shape",
        |g| g.replace("block1_conv1", Conv2d::new(6, 3).same()),
        &then_rest(&[INPUT, "block1_conv1 Conv2d (6, 32, 32)"]),
    );
    gives(
        "a pool",
        |g| g.replace("pool1", AvgPool2d::new(2)),
        &[
            INPUT,
            CONV11,
            CONV12,
            "block1_pool AvgPool2d (4, 16, 16)",
            CONV21,
            CONV22,
            POOL2,
        ],
    );
    let graph = two_blocks()
        .replace("conv1_1", Conv2d::new(4, 1).relu())
        .unwrap();
    assert_eq!(graph.node("features.1").unwrap().name(), "block1_conv1");
    let graph = graph
        .replace("conv1_1", Conv2d::new(4, 1).named("mine"))
        .unwrap();
    assert!(matches!(
        graph.node("features.1"),
        Err(Error::UnknownLayer { .. })
    ));
}

#[test]
fn replace_a_part() {
    gives(
        "an activation",
        |g| g.replace("features.1", Activation::Gelu),
        &then_rest(&[
            INPUT,
            BARE11,
            "block1_conv1_relu Activation+gelu (4, 32, 32)",
        ]),
    );
    let graph = two_blocks()
        .replace("features.1", Activation::Gelu)
        .unwrap();
    assert_eq!(
        graph.layer::<Activation>("relu1_1").unwrap(),
        &Activation::Gelu
    );
    gives(
        "a convolution under its activation",
        |g| g.replace("features.0", Conv2d::new(4, 1)),
        &then_rest(&[INPUT, BARE11, RELU11]),
    );
    gives(
        "both parts, one by one",
        |g| {
            g.replace(
                ["features.0", "features.1"],
                Conv2d::new(4, 1).named("mine"),
            )
        },
        &then_rest(&[INPUT, "mine Conv2d (4, 32, 32)"]),
    );
    gives(
        "from an activation to the next convolution",
        |g| g.replace("features.1"..="features.2", MaxPool2d::new(1).named("one")),
        &[
            INPUT,
            BARE11,
            "one MaxPool2d (4, 32, 32)",
            "block1_conv2_relu Activation+relu (4, 32, 32)",
            POOL1,
            CONV21,
            CONV22,
            POOL2,
        ],
    );
}

#[test]
fn replace_several() {
    let block1 = |layers: &[&'static str]| [layers, &[POOL1, CONV21, CONV22, POOL2]].concat();
    gives(
        "two by one",
        |g| {
            let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
            g.replace("block1_conv1"..="block1_conv2", conv)
        },
        &block1(&[INPUT, "new_conv Conv2d+relu (4, 32, 32)"]),
    );
    gives(
        "two by one without a name",
        |g| g.replace(1..=2, Conv2d::new(4, 5).same()),
        &block1(&[INPUT, "conv2d Conv2d (4, 32, 32)"]),
    );
    gives(
        "one by two without names",
        |g| {
            g.replace(
                "block1_conv1",
                [Conv2d::new(4, 1).relu(), Conv2d::new(4, 1).relu()],
            )
        },
        &then_rest(&[
            INPUT,
            "conv2d Conv2d+relu (4, 32, 32)",
            "conv2d_1 Conv2d+relu (4, 32, 32)",
        ]),
    );
    gives(
        "one by a chain of several kinds",
        |g| {
            let chain = Head::new()
                .layer("pad", ZeroPad2d::new(1))
                .conv2d("conv", Conv2d::new(4, 3))
                .batch_norm2d("bn", BatchNorm2d::new())
                .activation("relu", Activation::Relu);
            g.replace("block1_conv1", chain)
        },
        &then_rest(&[
            INPUT,
            "pad ZeroPad2d (3, 34, 34)",
            "conv Conv2d (4, 32, 32)",
            "bn BatchNorm2d (4, 32, 32)",
            "relu Activation+relu (4, 32, 32)",
        ]),
    );
    gives(
        "the name of a layer that goes is free",
        |g| {
            g.replace(
                "block1_conv1"..="block1_conv2",
                Conv2d::new(4, 5).same().relu().named("block1_conv2"),
            )
        },
        &block1(&[INPUT, CONV12]),
    );
}

#[test]
fn replace_refuses() {
    let conv = || Conv2d::new(4, 3).same();
    fails(
        "by nothing",
        |g| g.replace("block1_conv1", Head::new()),
        illegal("block1_conv1", "no layer was given; use remove(..)"),
    );
    fails(
        "the input",
        |g| g.replace("input", conv()),
        illegal("input", "the input stays; set its shape with input(..)"),
    );
    fails(
        "by an input",
        |g| g.replace("block1_conv1", Input::new((3, 8, 8)).named("again")),
        illegal(
            "again",
            "a graph has one input; set its shape with input(..)",
        ),
    );
    fails(
        "a name that is there",
        |g| g.replace("block1_conv1", conv().named("block2_conv1")),
        Error::DuplicateName {
            name: "block2_conv1".to_string(),
        },
    );
    fails(
        "a merge in a chain",
        |g| g.replace("block1_conv1", Add.named("sum")),
        Error::InputCount {
            layer: "sum".to_string(),
            expected: "at least 2 inputs".to_string(),
            actual: 1,
        },
    );
    fails(
        "a layer that can't stand there",
        |g| g.replace("block1_conv1", Dense::new(3).named("fc")),
        Error::ShapeMismatch {
            layer: "fc".to_string(),
            expected: "a vector (F); put a Flatten or a global pool before it".to_string(),
            actual: Shape::map(3, 32, 32),
        },
    );
    fails_trained(
        "trained layers keep their shape",
        |g| g.replace("block1_conv1", Conv2d::new(6, 3).same()),
        Error::ShapeMismatch {
            layer: "block1_conv2".to_string(),
            expected: "the input that its weight [4, 4, 3, 3] was made for \
                       (reinitialize(\"block1_conv2\") first to start it from scratch)"
                .to_string(),
            actual: Shape::map(6, 32, 32),
        },
    );
    fails(
        "a kernel of no size",
        |g| g.replace("block1_conv1", Conv2d::new(4, 0).named("none")),
        Error::InvalidLayer {
            layer: "none".to_string(),
            reason: "kernel_size (0, 0) must be from 1 to 16777216".to_string(),
        },
    );
}
