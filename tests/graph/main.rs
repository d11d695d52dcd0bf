//! The network as a value: the family, the edits, the reports, the errors, and
//! the rules of the house.

mod edits;
mod errors;
mod family;
mod house;
mod layers;
mod misfits;
mod operations;
mod options;
mod outputs;
mod properties;
#[path = "../support/random_layers.rs"]
mod random_layers;
mod reports;

use vgg_surgery::graph::Node;
use vgg_surgery::{Activation, Error, Graph, Vgg16};

/// VGG16 at 1/16 of its width, new, for 64x64 images of 10 classes.
fn whole() -> Graph {
    Vgg16::options()
        .widths(16)
        .hidden(32)
        .classes(10)
        .input((3, 64, 64))
        .untrained(7)
        .unwrap()
}

/// The first two blocks of that, for 32x32 images.
fn two_blocks() -> Graph {
    let graph = whole().truncate("block2_pool").unwrap();
    graph.input((3, 32, 32)).unwrap()
}

/// The same two blocks, their values in a file that no test reads.
fn two_trained_blocks() -> Graph {
    Vgg16::options()
        .widths(16)
        .input((3, 32, 32))
        .pretrained_from("weights.safetensors")
        .and_then(|graph| graph.truncate("block2_pool"))
        .unwrap()
}

/// A node in a line: `name Kind+activation (C, H, W)`, frozen ones with a `*`
/// behind their name.
fn line(node: &Node) -> String {
    let frozen = if node.is_frozen() { "*" } else { "" };
    let activation = match node.layer().activation() {
        Activation::Linear => String::new(),
        activation => format!("+{activation}"),
    };
    format!(
        "{}{frozen} {}{activation} {}",
        node.name(),
        node.layer().kind(),
        node.shape()
    )
}

fn lines(graph: &Graph) -> Vec<String> {
    graph.nodes().map(line).collect()
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().map(Node::name).collect()
}

fn output_names(graph: &Graph) -> Vec<&str> {
    let outputs = graph.outputs().iter();
    outputs.map(|&id| graph.node(id).unwrap().name()).collect()
}

/// Errors compare by variant and fields.
fn assert_error(actual: Error, expected: Error, what: &str) {
    assert_eq!(format!("{actual:?}"), format!("{expected:?}"), "{what}");
}
