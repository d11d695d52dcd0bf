use vgg_surgery::graph::{Fate, Node, Shape};
use vgg_surgery::layers::Layer;
use vgg_surgery::{Error, Graph, Result, Vgg16Bn};

use super::{
    CONV11, CONV12, CONV21, CONV22, INPUT, POOL1, POOL2, assert_sound, fails, fails_trained, gives,
    unknown,
};
use crate::{assert_error, lines, names, two_blocks, two_trained_blocks};

#[test]
fn input() {
    gives(
        "a larger size",
        |g| g.input((3, 64, 48)),
        &[
            "input Input (3, 64, 48)",
            "block1_conv1 Conv2d+relu (4, 64, 48)",
            "block1_conv2 Conv2d+relu (4, 64, 48)",
            "block1_pool MaxPool2d (4, 32, 24)",
            "block2_conv1 Conv2d+relu (8, 32, 24)",
            "block2_conv2 Conv2d+relu (8, 32, 24)",
            "block2_pool MaxPool2d (8, 16, 12)",
        ],
    );
    gives(
        "an odd size, and one side unknown",
        |g| g.truncate("block1_pool")?.input((3, Some(7), None)),
        &[
            "input Input (3, 7, ?)",
            "block1_conv1 Conv2d+relu (4, 7, ?)",
            "block1_conv2 Conv2d+relu (4, 7, ?)",
            "block1_pool MaxPool2d (4, 3, ?)",
        ],
    );
    let gray = two_blocks().input((1, 32, 32)).unwrap();
    let weight = gray.node("block1_conv1").unwrap().parameters()[0].shape();
    assert_eq!(weight, [4, 1, 3, 3]);
    fails(
        "too small",
        |g| g.input((3, 3, 9)),
        Error::InputTooSmall {
            layer: "block2_pool".to_string(),
            actual: Shape::map(8, 1, 4),
            minimum_height: 2,
            minimum_width: 2,
        },
    );
    fails(
        "nothing",
        |g| g.input((3, 0, 9)),
        Error::InvalidLayer {
            layer: "input".to_string(),
            reason: "an input of (3, 0, 9) can't be: every size must be from 1 to 16777216"
                .to_string(),
        },
    );
    fails(
        "a vector",
        |g| g.input(10),
        Error::ShapeMismatch {
            layer: "block1_conv1".to_string(),
            expected: "a feature map (C, H, W)".to_string(),
            actual: Shape::vector(10),
        },
    );
    fails_trained(
        "other channels than the weights have",
        |g| g.input((1, 32, 32)),
        Error::ShapeMismatch {
            layer: "block1_conv1".to_string(),
            expected: "the input that its weight [4, 3, 3, 3] was made for \
                       (Model::adapt_input makes filters for other channels of those; \
                       reinitialize(\"block1_conv1\") first to start it from scratch)"
                .to_string(),
            actual: Shape::map(1, 32, 32),
        },
    );
    fails_trained(
        "channels last",
        |g| g.input((32, 32, 3)),
        Error::ShapeMismatch {
            layer: "block1_conv1".to_string(),
            expected: "the input that its weight [4, 3, 3, 3] was made for \
                       (shapes are (channels, height, width))"
                .to_string(),
            actual: Shape::map(32, 32, 3),
        },
    );
}

#[test]
fn shapes_at_an_input_are_those_of_the_graph_with_that_input() {
    for graph in [two_blocks(), two_trained_blocks()] {
        for size in [4, 7, 48] {
            let input = Shape::map(3, size, 2 * size);
            let with_input = graph.clone().input(input).unwrap();
            let shapes = graph.shapes_at(input).unwrap();
            for node in with_input.nodes() {
                assert_eq!(shapes.get(node.id()).unwrap(), node.shape());
            }
            assert_eq!(shapes.get("pool1").unwrap().channels(), 4);
            assert_eq!(shapes.outputs(), with_input.output_shapes());
        }
        for input in [Shape::map(3, 3, 9), Shape::vector(10), Shape::map(0, 9, 9)] {
            let expected = graph.clone().input(input).unwrap_err();
            assert_error(graph.shapes_at(input).unwrap_err(), expected, "shapes_at");
        }
        assert_eq!(graph.input_shape(), Shape::map(3, 32, 32));
    }
    let gray = Shape::map(1, 32, 32);
    assert!(two_blocks().shapes_at(gray).is_ok());
    assert!(two_trained_blocks().shapes_at(gray).is_err());
    let unknown = two_blocks()
        .shapes_at(gray)
        .unwrap()
        .get("block1_pol")
        .map(drop);
    assert!(matches!(unknown, Err(Error::UnknownLayer { .. })));
}

#[test]
fn rename() {
    let renamed = "first Conv2d+relu (4, 32, 32)";
    let rest = [CONV12, POOL1, CONV21, CONV22, POOL2];
    let expected = [&[INPUT, renamed][..], &rest].concat();
    gives("a layer", |g| g.rename("block1_conv1", "first"), &expected);
    gives("by an alias", |g| g.rename("conv1_1", "first"), &expected);
    gives(
        "to the name it has",
        |g| g.rename("block1_conv1", "block1_conv1"),
        &[&[INPUT, CONV11][..], &rest].concat(),
    );
    let graph = two_blocks().rename("block1_conv1", "first").unwrap();
    assert_eq!(graph.node("relu1_1").unwrap().name(), "first");
    gives(
        "to its own name elsewhere",
        |g| g.rename("block1_conv1", "conv1_1"),
        &[&[INPUT, "conv1_1 Conv2d+relu (4, 32, 32)"][..], &rest].concat(),
    );
    fails(
        "to another layer's name elsewhere",
        |g| g.rename("block1_conv1", "conv1_2"),
        Error::DuplicateName {
            name: "conv1_2".to_string(),
        },
    );
    fails(
        "to a name that is there",
        |g| g.rename("block1_conv1", "block1_pool"),
        Error::DuplicateName {
            name: "block1_pool".to_string(),
        },
    );
    fails(
        "an unknown layer",
        |g| g.rename("zzzz", "first"),
        unknown("zzzz", &[]),
    );
}

#[test]
fn names_that_no_layer_can_bear() {
    let long = "n".repeat(257);
    for (name, reason) in [
        ("", "it is empty"),
        (long.as_str(), "it is longer than 256 bytes"),
        ("a:pre", "a colon parts a name from \"pre\""),
        ("a\nb", "it holds a control character or a quotation mark"),
        ("a\"b", "it holds a control character or a quotation mark"),
        (" a", "it begins or ends with white space"),
        ("a\u{2003}", "it begins or ends with white space"),
    ] {
        let expected = Error::InvalidName {
            name: name.to_string(),
            reason,
        };
        fails(name, |g| g.rename("block1_conv1", name), expected);
    }
    for name in ["n".repeat(256).as_str(), "凸層", "a b", "a.b/c", "🦀"] {
        let graph = two_blocks().rename("block1_conv1", name).unwrap();
        assert_eq!(graph.node(name).unwrap().name(), name);
    }
}

#[test]
fn prefix() {
    let graph = two_blocks()
        .truncate("block1_conv2")
        .and_then(|graph| graph.prefix("left_"))
        .unwrap();
    assert_eq!(
        names(&graph),
        ["input", "left_block1_conv1", "left_block1_conv2"]
    );
    assert_eq!(
        graph.node("left_relu1_1").unwrap().name(),
        "left_block1_conv1"
    );
    assert!(graph.node("relu1_1").is_err());
    assert_sound(&graph);
    let all = [INPUT, CONV11, CONV12, POOL1, CONV21, CONV22, POOL2];
    gives("an empty one", |g| g.prefix(""), &all);
    fails(
        "with a colon",
        |g| g.prefix("left:"),
        Error::InvalidName {
            name: "left:block1_conv1".to_string(),
            reason: "a colon parts a name from \"pre\"",
        },
    );
    fails(
        "that gives a layer the input's name",
        |g| g.rename("block1_conv2", "put")?.prefix("in"),
        Error::DuplicateName {
            name: "input".to_string(),
        },
    );
}

fn frozen(edit: impl FnOnce(Graph) -> Result<Graph>) -> Vec<String> {
    let graph = edit(two_blocks()).unwrap();
    let frozen = graph.nodes().filter(|node| node.is_frozen());
    frozen.map(|node| node.name().to_string()).collect()
}

#[test]
fn freeze_and_unfreeze() {
    let (c11, c12, p1) = ("block1_conv1", "block1_conv2", "block1_pool");
    assert!(frozen(Ok).is_empty());
    assert_eq!(frozen(|g| g.freeze(c12)), [c12]);
    assert_eq!(frozen(|g| g.freeze("features.2")), [c12]);
    assert_eq!(frozen(|g| g.freeze(c11..=p1)), [c11, c12, p1]);
    assert_eq!(frozen(|g| g.freeze(..3)), ["input", c11, c12]);
    assert_eq!(frozen(|g| g.freeze_through(c12)), ["input", c11, c12]);
    assert_eq!(frozen(|g| Ok(g.freeze_all())).len(), 7);
    assert_eq!(frozen(|g| g.freeze_all().unfreeze(c12..)), ["input", c11]);
    assert_eq!(
        frozen(|g| g.freeze(|node: &Node| matches!(node.layer(), Layer::MaxPool2d(_)))),
        [p1, "block2_pool"]
    );
    assert_eq!(
        frozen(|g| g
            .freeze_all()
            .insert_after(c11, vgg_surgery::layers::ZeroPad2d::new(0))),
        [
            "input",
            c11,
            c12,
            p1,
            "block2_conv1",
            "block2_conv2",
            "block2_pool"
        ],
    );
    assert_eq!(frozen(|g| g.freeze(c11)?.remove("relu1_1")), [c11]);
    fails("freeze", |g| g.freeze("zzzz"), unknown("zzzz", &[]));
    fails("unfreeze", |g| g.unfreeze("zzzz"), unknown("zzzz", &[]));
    fails(
        "freeze_through",
        |g| g.freeze_through("zzzz"),
        unknown("zzzz", &[]),
    );
}

#[test]
fn what_trains() {
    let counts = |graph: Graph| (graph.parameter_count(), graph.trainable_count());
    // 4*3*9+4, 4*4*9+4, 8*4*9+8, 8*8*9+8
    let [c11, c12, c21, c22] = [112, 148, 296, 584];
    let all = c11 + c12 + c21 + c22;
    assert_eq!(counts(two_blocks()), (all, all));
    assert_eq!(counts(two_blocks().freeze_all()), (all, 0));
    let first = two_blocks().freeze_through("pool1").unwrap();
    assert_eq!(counts(first), (all, c21 + c22));
    // Running statistics are no optimizer's business.
    let normed = Vgg16Bn::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let normed = normed.truncate("block1_relu1").unwrap();
    assert_eq!(counts(normed), (c11 + 16, c11 + 8));
}

#[test]
fn reinitialize() {
    let fates = |graph: &Graph| -> Vec<(String, bool)> {
        let parameters = graph.provenance().into_iter();
        parameters
            .filter(|p| !matches!(p.fate, Fate::Dropped { .. }))
            .map(|p| (p.layer, matches!(p.fate, Fate::New { .. })))
            .collect()
    };
    let graph = two_trained_blocks()
        .reinitialize("block1_conv2"..="block2_conv1")
        .unwrap();
    assert_eq!(lines(&graph), lines(&two_trained_blocks()));
    for (layer, is_new) in fates(&graph) {
        let chosen = layer == "block1_conv2" || layer == "block2_conv1";
        assert_eq!(is_new, chosen, "{layer}");
    }
    let graph = two_trained_blocks()
        .reinitialize("block1_conv1")
        .and_then(|graph| graph.input((1, 32, 32)))
        .unwrap();
    let weight = graph.node("block1_conv1").unwrap().parameters()[0].shape();
    assert_eq!(weight, [4, 1, 3, 3]);
    fails(
        "nothing",
        |g| g.reinitialize(3..3),
        Error::EmptySelection {
            selection: "layers 3..3".to_string(),
            layers: 7,
        },
    );
}

#[test]
fn index_of_counts_as_keras_does() {
    let graph = two_blocks();
    assert_eq!(graph.index_of("input").unwrap(), 0);
    assert_eq!(graph.index_of("pool2").unwrap(), 6);
    assert!(graph.index_of("zzzz").is_err());
}
