use vgg_surgery::graph::{NodeId, Shape};
use vgg_surgery::layers::{Add, Concat, Input, Rescale, Upsample};
use vgg_surgery::{Conv2d, Dense, Error, Graph, Head, Vgg16};

use super::{assert_sound, illegal};
use crate::{assert_error, lines, output_names, two_blocks, whole};

/// The two pools' maps joined, the second one enlarged.
fn joined() -> Graph {
    let mut graph = two_blocks();
    let a = graph.node_id("block1_pool").unwrap();
    let b = graph.node_id("block2_pool").unwrap();
    let b = graph.add("up", Upsample::to(a), [b]).unwrap();
    let x = graph.add("join", Concat::channels(), [a, b]).unwrap();
    graph.with_outputs([x]).unwrap()
}

#[test]
fn branches_meet() {
    let graph = joined();
    assert_eq!(
        lines(&graph)[5..],
        [
            "block2_conv2 Conv2d+relu (8, 16, 16)",
            "block2_pool MaxPool2d (8, 8, 8)",
            "up Upsample (8, 16, 16)",
            "join Concat (12, 16, 16)",
        ]
    );
    assert_sound(&graph);
    let up = graph.node("up").unwrap();
    let inputs: Vec<_> = up
        .inputs()
        .iter()
        .map(|&id| graph.node(id).unwrap().name())
        .collect();
    assert_eq!(inputs, ["block2_pool", "block1_pool"]);
}

#[test]
fn other_sizes_of_upsampling() {
    let mut graph = two_blocks();
    let pool = graph.node_id("pool2").unwrap();
    let up = Upsample::times((2, 3)).bilinear();
    let up = graph.add("up", up, [pool]).unwrap();
    assert_eq!(graph.node(up).unwrap().shape(), Shape::map(8, 16, 24));
    let fixed = graph.add("fixed", Upsample::fixed(5), [pool]).unwrap();
    assert_eq!(graph.node(fixed).unwrap().shape(), Shape::map(8, 5, 5));
    let sized = Upsample::times(2).bilinear().sized_by(up);
    let sized = graph.add("sized", sized, [pool]).unwrap();
    assert_eq!(graph.node(sized).unwrap().shape(), Shape::map(8, 16, 24));
}

#[test]
fn a_node_on_no_way_to_an_output_is_pruned_by_the_next_edit() {
    let mut graph = two_blocks();
    let pool = graph.node_id("pool1").unwrap();
    graph.add("aside", Rescale::new(2.0, 1.0), [pool]).unwrap();
    assert_eq!(graph.len(), 8);
    let graph = graph.rename("pool1", "p").unwrap();
    assert_eq!(graph.len(), 7);
}

#[test]
fn handles_outlive_edits_and_clones() {
    let graph = two_blocks();
    let pool = graph.node_id("pool1").unwrap();
    let edited = graph
        .clone()
        .rename("pool1", "p")
        .and_then(|graph| graph.remove("conv1_2"))
        .and_then(|graph| graph.insert_before("p", Rescale::new(1.0, 0.0)))
        .unwrap();
    assert_eq!(edited.node(pool).unwrap().name(), "p");
    let truncated = edited.truncate(pool).unwrap();
    assert_eq!(output_names(&truncated), ["p"]);
    let cut = truncated.truncate("block1_conv1").unwrap();
    assert!(matches!(cut.node(pool), Err(Error::UnknownNode)));
}

#[test]
fn add_refuses_and_leaves_the_graph_alone() {
    let mut graph = two_blocks();
    let [pool1, pool2]: [NodeId; 2] = ["pool1", "pool2"].map(|name| graph.node_id(name).unwrap());
    let foreign = whole().node_id("fc1").unwrap();
    let mismatch = |expected: &str, actual| Error::ShapeMismatch {
        layer: "x".to_string(),
        expected: expected.to_string(),
        actual,
    };
    let small = Shape::map(8, 8, 8);
    let before = graph.clone();
    let count = |expected: &str, actual| Error::InputCount {
        layer: "x".to_string(),
        expected: expected.to_string(),
        actual,
    };
    let cases = [
        (
            graph.add("x", Add, [pool1, pool2]),
            mismatch("inputs of one shape, the first being (4, 16, 16)", small),
        ),
        (
            graph.add("x", Concat::channels(), [pool1, pool2]),
            mismatch(
                "inputs that differ in channels only from (4, 16, 16)",
                small,
            ),
        ),
        (graph.add("x", Add, [pool1]), count("at least 2 inputs", 1)),
        (graph.add("x", Add, [""; 0]), count("at least 2 inputs", 0)),
        (
            graph.add("x", Dense::new(2), [pool1, pool2]),
            count("one input", 2),
        ),
        (
            graph.add("x", Upsample::like(), [pool1]),
            count("2 inputs", 1),
        ),
        (
            graph.add("pool1:x", Conv2d::new(1, 1), [pool1]),
            Error::InvalidName {
                name: "pool1:x".to_string(),
                reason: "a colon parts a name from \"pre\"",
            },
        ),
        (
            graph.add("block1_pool", Conv2d::new(1, 1), [pool1]),
            Error::DuplicateName {
                name: "block1_pool".to_string(),
            },
        ),
        (graph.add("x", Add, [foreign, pool1]), Error::UnknownNode),
        (
            graph.add("x", Upsample::to(foreign), [pool1]),
            Error::UnknownNode,
        ),
        (
            graph.add("x", Input::new(3), [""; 0]),
            illegal("x", "a graph has one input; set its shape with input(..)"),
        ),
    ];
    for (result, expected) in cases {
        let what = expected.to_string();
        assert_error(result.unwrap_err(), expected, &what);
    }
    assert!(before.diff(&graph).is_empty());
    assert_eq!(lines(&graph), lines(&before));
}

#[test]
fn a_value_before_an_activation_has_no_handle() {
    for name in ["features.0", "block1_conv1:pre"] {
        let error = two_blocks().node_id(name).unwrap_err();
        assert_eq!(error.layer(), Some("block1_conv1"));
        assert!(matches!(error, Error::IllegalEdit { .. }));
    }
    assert!(two_blocks().node_id("block1_pool:pre").is_ok());
}

#[test]
fn a_merge_can_be_replaced_as_a_whole_but_not_removed() {
    let error = joined().remove("join").unwrap_err();
    let reason = "it merges several inputs; use replace, or with_outputs";
    assert_error(error, illegal("join", reason), "remove");
    let error = joined().replace("join", Conv2d::new(1, 1)).unwrap_err();
    let reason = "the stretch that begins here takes 2 values; choose layers with one";
    assert_error(error, illegal("join", reason), "replace");
    let stretch = joined()
        .replace("block2_conv1"..="join", Conv2d::new(5, 1).named("short"))
        .unwrap();
    assert_eq!(lines(&stretch).last().unwrap(), "short Conv2d (5, 16, 16)");
    assert_sound(&stretch);
}

#[test]
fn a_layer_before_two_users_is_replaced_for_both() {
    let graph = joined()
        .replace("block1_pool", vgg_surgery::AvgPool2d::new(2))
        .unwrap();
    assert_sound(&graph);
    let pool = graph.node_id("block1_pool").unwrap();
    let users = graph.nodes().filter(|node| node.inputs().contains(&pool));
    let users: Vec<_> = users.map(|node| node.name()).collect();
    assert_eq!(users, ["block2_conv1", "up", "join"]);
    let between = graph
        .insert_before("join", vgg_surgery::layers::ZeroPad2d::new(0))
        .unwrap_err();
    let reason = "it does not have exactly one input; use insert_after on one of its inputs";
    assert_error(between, illegal("join", reason), "insert_before");
}

#[test]
fn a_head_on_a_named_layer_is_one_more_output() {
    let head = |name: &str| {
        let pool = Head::new().global_avg_pool2d(format!("{name}_pool"));
        pool.dense(name, Dense::new(2))
    };
    let trunk = || Vgg16::pretrained().truncate("block2_pool").unwrap();
    let graph = trunk().attach(head("color")).unwrap();
    let graph = graph.attach_to("pool1", head("texture")).unwrap();
    assert_eq!(graph.output_names(), ["color", "texture"]);
    let pool = graph.node("texture_pool").unwrap();
    assert_eq!(pool.inputs(), [graph.node_id("block1_pool").unwrap()]);
    let what = &graph.operations().iter().last().unwrap().what;
    assert_eq!(what, "attach_to(\"pool1\", ..)");
    let error = trunk().attach_to("conv2_1:pre", head("x")).unwrap_err();
    assert!(matches!(error, Error::IllegalEdit { .. }), "{error}");
}

#[test]
fn inputs_are_given_by_name_or_by_handle() {
    let mut graph = Vgg16::pretrained().truncate("block2_pool").unwrap();
    let a = graph.node_id("block2_conv1").unwrap();
    let sum = graph.add("sum", Add, ["conv2_1", "block2_conv2"]).unwrap();
    let b = graph.node_id("block2_conv2").unwrap();
    assert_eq!(graph.node(sum).unwrap().inputs(), [a, b]);
    let error = graph
        .add("pre", Add, ["conv2_1:pre", "conv2_2"])
        .unwrap_err();
    assert!(matches!(error, Error::IllegalEdit { .. }), "{error}");
    let error = graph.add("none", Add, ["conv9_1", "conv2_2"]).unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }), "{error}");
}
