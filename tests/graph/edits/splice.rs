use vgg_surgery::{
    Activation, Add, AvgPool2d, BatchNorm2d, Conv2d, Dense, Error, Graph, Head, Input, MaxPool2d,
    NamedLayer, Shape, ZeroPad2d,
};

use super::{
    BARE11, CONV11, CONV12, CONV21, CONV22, INPUT, POOL1, POOL2, RELU11, assert_sound, fails,
    fails_trained, gives, illegal,
};
use crate::{assert_error, lines, two_blocks, two_trained_blocks};

const REST: [&str; 5] = [CONV12, POOL1, CONV21, CONV22, POOL2];

fn then_rest(first: &[&'static str]) -> Vec<&'static str> {
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
    assert_eq!(graph.get("features.1").unwrap().name(), "block1_conv1");
    let graph = graph
        .replace("conv1_1", Conv2d::new(4, 1).named("mine"))
        .unwrap();
    assert!(matches!(
        graph.get("features.1"),
        Err(Error::UnknownLayer { .. })
    ));
}

#[test]
fn replace_a_part() {
    gives(
        "an activation",
        |g| g.replace("features.1", Activation::Gelu),
        &then_rest(&[INPUT, BARE11, RELU11]),
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
            "block1_conv2_relu Activation (4, 32, 32)",
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
            "relu Activation (4, 32, 32)",
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
                       (reinitialize(\"block1_conv2\") first to start it anew)"
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
                "activation Activation (8, 8, 8)",
                "activation_1 Activation (8, 8, 8)",
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
            "block1_conv2_relu Activation (4, 32, 32)",
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
                       (reinitialize(\"block2_conv2\") first to start it anew)"
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
