//! A table of edits: what each leaves, line by line, or the exact error.

mod cut;
mod flags;
mod functional;
mod insert;
mod select;
mod splice;

use std::collections::HashSet;

use vgg_surgery::graph::NodeId;
use vgg_surgery::{Error, Graph, Result};

use crate::{assert_error, lines, two_blocks, two_trained_blocks};

const INPUT: &str = "input Input (3, 32, 32)";
const CONV11: &str = "block1_conv1 Conv2d+relu (4, 32, 32)";
const CONV12: &str = "block1_conv2 Conv2d+relu (4, 32, 32)";
const POOL1: &str = "block1_pool MaxPool2d (4, 16, 16)";
const CONV21: &str = "block2_conv1 Conv2d+relu (8, 16, 16)";
const CONV22: &str = "block2_conv2 Conv2d+relu (8, 16, 16)";
const POOL2: &str = "block2_pool MaxPool2d (8, 8, 8)";

/// `block1_conv1` without its ReLU, and that ReLU as a layer.
const BARE11: &str = "block1_conv1 Conv2d (4, 32, 32)";
const RELU11: &str = "block1_conv1_relu Activation+relu (4, 32, 32)";

/// An edit of the first two blocks, and the nodes it leaves.
fn gives(what: &str, edit: impl FnOnce(Graph) -> Result<Graph>, expected: &[&str]) {
    let graph = edit(two_blocks()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(lines(&graph), expected, "{what}");
    assert_sound(&graph);
}

/// An edit of the first two blocks that is refused.
fn fails(what: &str, edit: impl FnOnce(Graph) -> Result<Graph>, expected: Error) {
    match edit(two_blocks()) {
        Ok(graph) => panic!("{what}: gave {:?}", lines(&graph)),
        Err(error) => assert_error(error, expected, what),
    }
}

/// The same on trained blocks, whose parameters must keep their shapes.
fn fails_trained(what: &str, edit: impl FnOnce(Graph) -> Result<Graph>, expected: Error) {
    match edit(two_trained_blocks()) {
        Ok(graph) => panic!("{what}: gave {:?}", lines(&graph)),
        Err(error) => assert_error(error, expected, what),
    }
}

fn illegal(layer: &str, reason: &str) -> Error {
    Error::IllegalEdit {
        layer: layer.to_string(),
        reason: reason.to_string(),
    }
}

fn unknown(name: &str, nearest: &[&str]) -> Error {
    Error::UnknownLayer {
        name: name.to_string(),
        nearest: nearest.iter().map(|name| name.to_string()).collect(),
    }
}

/// What holds of every graph: nodes follow their inputs, names and handles are
/// unique, and no node is dead.
pub(crate) fn assert_sound(graph: &Graph) {
    let mut seen: HashSet<NodeId> = HashSet::new();
    let mut names: HashSet<&str> = HashSet::new();
    for node in graph.nodes() {
        assert!(node.inputs().iter().all(|input| seen.contains(input)));
        assert!(seen.insert(node.id()), "{}", node.name());
        assert!(names.insert(node.name()), "{}", node.name());
    }
    let mut needed: HashSet<NodeId> = graph.outputs().iter().copied().collect();
    assert!(!needed.is_empty() && needed.is_subset(&seen));
    for node in graph.nodes().rev() {
        assert!(needed.contains(&node.id()), "{} is dead", node.name());
        needed.extend(node.inputs());
    }
}
