use vgg_surgery::graph::{Node, Select};
use vgg_surgery::layers::Layer;
use vgg_surgery::{Activation, Conv2d, Error, Graph};

use super::{fails, unknown};
use crate::{assert_error, two_blocks, whole};

/// What a selection freezes.
fn chosen(layers: impl Select) -> Vec<String> {
    let graph = two_blocks().freeze(layers).unwrap();
    let frozen = graph.nodes().filter(|node| node.is_frozen());
    frozen.map(|node| node.name().to_string()).collect()
}

#[test]
fn every_form() {
    let (c11, c12, p1) = ("block1_conv1", "block1_conv2", "block1_pool");
    let (c21, c22, p2) = ("block2_conv1", "block2_conv2", "block2_pool");
    assert_eq!(chosen(c11), [c11]);
    assert_eq!(chosen("conv1_1"), [c11]);
    assert_eq!(chosen(String::from(c11)), [c11]);
    assert_eq!(chosen(String::from(c11)), [c11]);
    assert_eq!(chosen(c11..=p1), [c11, c12, p1]);
    assert_eq!(chosen("conv1_1"..="pool1"), [c11, c12, p1]);
    assert_eq!(chosen("features.0"..="features.4"), [c11, c12, p1]);
    assert_eq!(chosen(c11..=c11), [c11]);
    assert_eq!(chosen(c22..), [c22, p2]);
    assert_eq!(chosen(..=c11), ["input", c11]);
    assert_eq!(chosen(..2), ["input", c11]);
    assert_eq!(chosen(..=2), ["input", c11, c12]);
    assert_eq!(chosen(1..3), [c11, c12]);
    assert_eq!(chosen(1..=3), [c11, c12, p1]);
    assert_eq!(chosen(5..), [c22, p2]);
    assert_eq!(chosen(..).len(), 7);
    assert_eq!(chosen([p1, c11, "pool1"]), [c11, p1]);
    assert_eq!(chosen(vec![c21, "features.0"]), [c11, c21]);
    assert_eq!(chosen(&["pool2".to_string()][..]), [p2]);
    let convolutions = |node: &Node| matches!(node.layer(), Layer::Conv2d(_));
    assert_eq!(chosen(convolutions), [c11, c12, c21, c22]);
    let graph = two_blocks();
    let [first, last] = [c12, c21].map(|name| graph.node_id(name).unwrap());
    let frozen = |graph: Graph| -> Vec<String> {
        let frozen = graph.nodes().filter(|node| node.is_frozen());
        frozen.map(|node| node.name().to_string()).collect()
    };
    assert_eq!(frozen(graph.clone().freeze(first).unwrap()), [c12]);
    assert_eq!(
        frozen(graph.clone().freeze(first..=last).unwrap()),
        [c12, p1, c21]
    );
    assert_eq!(frozen(graph.freeze([last, first]).unwrap()), [c12, c21]);
}

#[test]
fn the_tutorials_seven_layers() {
    let graph = whole().freeze(..7).unwrap();
    let last = graph.nodes().rfind(|node| node.is_frozen()).unwrap();
    assert_eq!(last.name(), "block2_pool");
}

#[test]
fn ranges_that_reach_beyond() {
    let out = |start, end| Error::IndexOutOfRange {
        start,
        end,
        layers: 7,
    };
    let empty = |selection: &str| Error::EmptySelection {
        selection: selection.to_string(),
        layers: 7,
    };
    fails("..8", |g| g.freeze(..8), out(0, 8));
    fails("8..", |g| g.freeze(8..), out(8, 8));
    fails("7..", |g| g.freeze(7..), empty("layers 7.."));
    fails("..0", |g| g.freeze(..0), empty("layers ..0"));
    fails("2..2", |g| g.freeze(2..2), empty("layers 2..2"));
    let (two, four) = (2, 4);
    fails("4..2", |g| g.freeze(four..two), out(4, 2));
    fails("4..=2", |g| g.freeze(four..=two), out(4, 3));
    const MAX: usize = usize::MAX;
    fails("max", |g| g.freeze(MAX..), out(MAX, MAX));
    fails("..max", |g| g.freeze(..MAX), out(0, MAX));
    fails("..=max", |g| g.freeze(..=MAX), out(0, MAX));
    fails("max..=max", |g| g.freeze(MAX..=MAX), out(MAX, MAX));
    let nothing: [&str; 0] = [];
    fails("[]", |g| g.freeze(nothing), empty("[]"));
    fails(
        "none",
        |g| g.freeze(|_: &Node| false),
        empty("the predicate"),
    );
    fails(
        "a list with an unknown name",
        |g| g.freeze(["pool1", "zzzz"]),
        unknown("zzzz", &[]),
    );
    fails(
        "a range to an unknown name",
        |g| g.freeze("pool1"..="zzzz"),
        unknown("zzzz", &[]),
    );
}

#[test]
fn a_name_may_not_hide_one_of_a_dialect() {
    let taken = || Error::DuplicateName {
        name: "pool1".to_string(),
    };
    fails(
        "a rename to a name that another layer goes by",
        |g| g.rename("block2_pool", "pool1"),
        taken(),
    );
    fails(
        "a new layer of such a name",
        |g| g.attach(Activation::Relu.named("pool1")),
        taken(),
    );
}

#[test]
fn a_dialects_name_may_fit_two_layers() {
    let first = two_blocks().truncate("block1_conv1").unwrap();
    let twin = two_blocks()
        .slice("block1_conv2")
        .and_then(|graph| graph.rename("block1_conv2", "twin"))
        .unwrap();
    let other = two_blocks().slice("block1_conv2").unwrap();
    let graph = first.append(other).and_then(|g| g.append(twin)).unwrap();
    for name in ["conv1_2", "features.2", "relu1_2:pre"] {
        let error = graph.clone().truncate(name).unwrap_err();
        let expected = Error::AmbiguousName {
            name: name.to_string(),
            candidates: vec!["block1_conv2".to_string(), "twin".to_string()],
        };
        assert_error(error, expected, name);
    }
    assert_eq!(
        graph.node("block1_conv2:pre").unwrap().name(),
        "block1_conv2"
    );
}

#[test]
fn typed_lookup() {
    let graph = two_blocks();
    let conv: &Conv2d = graph.layer("conv2_1").unwrap();
    assert_eq!(conv.out_channels, 8);
    let error = graph.layer::<Conv2d>("pool1").unwrap_err();
    let expected = Error::WrongKind {
        layer: "block1_pool".to_string(),
        expected: "Conv2d",
        actual: "MaxPool2d".to_string(),
    };
    assert_error(error, expected, "another kind");
    assert!(matches!(
        graph.layer::<Conv2d>("conv9_9"),
        Err(Error::UnknownLayer { .. })
    ));
}
