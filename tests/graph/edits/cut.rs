use vgg_surgery::graph::{NodeId, Shape};
use vgg_surgery::layers::Concat;
use vgg_surgery::{Error, Graph};

use super::{
    BARE11, CONV11, CONV12, CONV21, CONV22, INPUT, POOL1, POOL2, RELU11, assert_sound, fails,
    gives, illegal, unknown,
};
use crate::{assert_error, lines, names, output_names, two_blocks, whole};

#[test]
fn truncate() {
    let one_block = [INPUT, CONV11, CONV12, POOL1];
    gives("Keras", |g| g.truncate("block1_pool"), &one_block);
    gives("Caffe", |g| g.truncate("pool1"), &one_block);
    gives("torchvision", |g| g.truncate("features.4"), &one_block);
    gives("a String", |g| g.truncate("pool1".to_string()), &one_block);
    gives(
        "a handle",
        |g| {
            let pool = g.node_id("block1_pool")?;
            g.truncate(pool)
        },
        &one_block,
    );
    gives("the input", |g| g.truncate("input"), &[INPUT]);
    let all = [INPUT, CONV11, CONV12, POOL1, CONV21, CONV22, POOL2];
    gives("the output", |g| g.truncate("block2_pool"), &all);
    fails(
        "a misspelt name",
        |g| g.truncate("block1_pol"),
        unknown(
            "block1_pol",
            &["block1_pool", "block2_pool", "block1_conv1"],
        ),
    );
    fails("an empty name", |g| g.truncate(""), unknown("", &[]));
    let foreign = whole().node_id("fc1").unwrap();
    fails(
        "a foreign handle",
        |g| g.truncate(foreign),
        Error::UnknownNode,
    );
}

#[test]
fn truncate_at_a_part_of_a_layer() {
    let before = [INPUT, BARE11];
    gives(":pre", |g| g.truncate("block1_conv1:pre"), &before);
    gives(
        "torchvision's convolution",
        |g| g.truncate("features.0"),
        &before,
    );
    gives(
        "Caffe's name and :pre",
        |g| g.truncate("conv1_1:pre"),
        &before,
    );
    let after = [INPUT, CONV11];
    gives("torchvision's ReLU", |g| g.truncate("features.1"), &after);
    gives("Caffe's ReLU", |g| g.truncate("relu1_1"), &after);
    gives("Caffe's convolution", |g| g.truncate("conv1_1"), &after);
    gives(
        ":pre of a layer without an activation",
        |g| g.truncate("block1_pool:pre"),
        &[INPUT, CONV11, CONV12, POOL1],
    );
    let graph = whole().truncate("features.28").unwrap();
    assert_eq!(
        lines(&graph).last().unwrap(),
        "block5_conv3 Conv2d (32, 4, 4)"
    );
}

#[test]
fn slice() {
    gives(
        "a range of names",
        |g| g.slice("block1_conv2"..="block2_conv1"),
        &["input Input (4, 32, 32)", CONV12, POOL1, CONV21],
    );
    let second = ["input Input (4, 16, 16)", CONV21, CONV22, POOL2];
    gives("indices", |g| g.slice(4..7), &second);
    gives("an open range", |g| g.slice("block2_conv1"..), &second);
    let first = [INPUT, CONV11, CONV12, POOL1];
    gives("with the input", |g| g.slice(..4), &first);
    gives("up to a name", |g| g.slice(..="block1_pool"), &first);
    gives(
        "one layer",
        |g| g.slice("pool1"),
        &["input Input (4, 32, 32)", POOL1],
    );
    gives(
        "from an activation on",
        |g| g.slice("relu1_1"..="block1_conv2"),
        &["input Input (4, 32, 32)", RELU11, CONV12],
    );
    gives(
        "up to a convolution before its ReLU",
        |g| g.slice("features.0"..="features.2"),
        &[INPUT, CONV11, "block1_conv2 Conv2d (4, 32, 32)"],
    );
    fails(
        "a gap",
        |g| g.slice(["block1_conv1", "block2_conv1"]),
        illegal(
            "block1_conv1",
            "2 layers of the stretch that begins here are used outside it; choose layers that \
             follow each other",
        ),
    );
    fails(
        "backwards",
        |g| g.slice("block2_conv1"..="block1_conv2"),
        Error::ReversedRange {
            first: "block2_conv1".to_string(),
            last: "block1_conv2".to_string(),
        },
    );
    fails(
        "backwards within a layer",
        |g| g.slice("relu1_1"..="features.0"),
        Error::ReversedRange {
            first: "block1_conv1".to_string(),
            last: "block1_conv1".to_string(),
        },
    );
}

#[test]
fn split_at() {
    let (front, back) = two_blocks().split_at("block1_pool").unwrap();
    assert_eq!(lines(&front), [INPUT, CONV11, CONV12, POOL1]);
    let second = ["input Input (4, 16, 16)", CONV21, CONV22, POOL2];
    assert_eq!(lines(&back), second);
    let (front, back) = two_blocks().split_at("features.0").unwrap();
    assert_eq!(lines(&front), [INPUT, BARE11]);
    let rest = [CONV12, POOL1, CONV21, CONV22, POOL2];
    let after = [&["input Input (4, 32, 32)", RELU11][..], &rest].concat();
    assert_eq!(lines(&back), after);
    let (front, back) = two_blocks().split_at("relu1_1").unwrap();
    assert_eq!(lines(&front), [INPUT, CONV11]);
    assert_eq!(
        lines(&back),
        [&["input Input (4, 32, 32)"][..], &rest].concat()
    );
    let (front, back) = two_blocks().split_at("input").unwrap();
    assert_eq!(lines(&front), [INPUT]);
    assert_eq!(back.len(), 7);
    for graph in [front, back] {
        assert_sound(&graph);
    }
    let unsized_graph = two_blocks().input(Shape::any_size(3)).unwrap();
    let (_, back) = unsized_graph.split_at("pool1").unwrap();
    assert_eq!(back.input_shape(), Shape::any_size(4));
}

#[test]
fn split_at_refuses_what_is_no_seam() {
    let error = two_blocks().split_at("block2_pool").unwrap_err();
    let reason = "an output lies before the cut, so no layer would be left after it";
    assert_error(error, illegal("block2_pool", reason), "the output");
    let mut graph = two_blocks();
    let ids: Vec<NodeId> = ["block1_conv1", "block1_conv2"]
        .map(|name| graph.node_id(name).unwrap())
        .to_vec();
    let join = graph.add("join", Concat::channels(), &ids).unwrap();
    let graph = graph.with_outputs([join]).unwrap();
    let error = graph.split_at("block1_conv2").unwrap_err();
    let reason = "\"block1_conv1\" feeds \"join\" past the cut; cut where one value passes";
    assert_error(error, illegal("block1_conv2", reason), "a bypass");
    let (front, back) = graph.split_at("block1_conv1").unwrap();
    assert_eq!(names(&front), ["input", "block1_conv1"]);
    assert_eq!(names(&back), ["input", "block1_conv2", "join"]);
}

#[test]
fn without_top() {
    let graph = whole().without_top().unwrap();
    assert_eq!(graph.len(), 19);
    assert_eq!(output_names(&graph), ["block5_pool"]);
    assert_sound(&graph);
    fails(
        "no classifier",
        Graph::without_top,
        illegal(
            "block2_pool",
            "there is no classifier on one layer to take off; use truncate(..)",
        ),
    );
    let replaced = whole()
        .replace("predictions", vgg_surgery::Dense::new(3))
        .and_then(Graph::without_top)
        .unwrap();
    assert_eq!(output_names(&replaced), ["block5_pool"]);
    for edited in [
        whole().insert_after("fc1", vgg_surgery::Dropout::new(0.5)),
        whole().insert_before("fc2", vgg_surgery::Dropout::new(0.5)),
        whole().insert_after("fc1:pre", vgg_surgery::BatchNorm2d::new()),
    ] {
        let stripped = edited.and_then(Graph::without_top).unwrap();
        assert_eq!(output_names(&stripped), ["block5_pool"]);
    }
    let headed = whole().attach(vgg_surgery::Dense::new(2)).unwrap();
    assert_eq!(headed.without_top().unwrap().len(), 19);
}

#[test]
fn with_outputs() {
    let outputs = |names: &[&str]| output_names_of(names);
    assert_eq!(
        outputs(&["block2_conv1", "pool1"]),
        ["block2_conv1", "block1_pool"]
    );
    assert_eq!(outputs(&["pool1", "pool1"]), ["block1_pool", "block1_pool"]);
    fails(
        "none",
        |g| g.with_outputs::<&str>([]),
        Error::EmptySelection {
            selection: "with_outputs([])".to_string(),
            layers: 7,
        },
    );
    fails(
        "one of them unknown",
        |g| g.with_outputs(["block1_pool", "nowhere"]),
        unknown("nowhere", &[]),
    );
}

#[test]
fn with_outputs_tells_the_parts_of_one_layer_apart() {
    let outputs = |names: &[&str]| output_names_of(names);
    let (bare, relu) = ("block1_conv1", "block1_conv1_relu");
    assert_eq!(outputs(&["features.0", "features.1"]), [bare, relu]);
    assert_eq!(outputs(&["features.1", "features.0"]), [relu, bare]);
    assert_eq!(outputs(&["conv1_1:pre", "conv1_1"]), [bare, relu]);
    assert_eq!(outputs(&["conv1_1", "conv1_1:pre"]), [relu, bare]);
    assert_eq!(outputs(&["relu1_1", "conv1_1"]), [bare, bare]);
}

fn output_names_of(names: &[&str]) -> Vec<String> {
    let graph = two_blocks().with_outputs(names).unwrap();
    assert_sound(&graph);
    let names = output_names(&graph).into_iter();
    names.map(str::to_string).collect()
}
