use std::collections::HashSet;

use crate::graph::{Graph, Node, NodeId};
use crate::layers::{Activation, Conv2d, Layer};

/// A convolution whose channels may be left out, and the convolutions that read
/// them.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) layer: NodeId,
    pub(super) readers: Vec<NodeId>,
    pub(super) channels: usize,
}

/// All units of a graph, in its order. Layers that stay have none.
pub(super) fn units(graph: &Graph, staying: &HashSet<NodeId>) -> Vec<Unit> {
    let nodes = graph.nodes().filter(|node| !staying.contains(&node.id()));
    nodes.filter_map(|node| unit(graph, node)).collect()
}

fn unit(graph: &Graph, node: &Node) -> Option<Unit> {
    plain_conv(node)?;
    Some(Unit {
        layer: node.id(),
        readers: readers(graph, node.id())?,
        channels: node.shape().channels(),
    })
}

/// The convolutions that read a layer's channels; `None` if anything else does.
fn readers(graph: &Graph, layer: NodeId) -> Option<Vec<NodeId>> {
    let passes = |node: &Node| node.id() == layer || keeps_channels(node.layer());
    let reached = graph.descendants_through(layer, passes);
    let mut readers = Vec::new();
    for node in graph.nodes().filter(|node| reached.contains(&node.id())) {
        if graph.outputs().contains(&node.id()) && passes(node) {
            return None;
        }
        if !passes(node) {
            plain_conv(node)?;
            readers.push(node.id());
        }
    }
    (!readers.is_empty()).then_some(readers)
}

/// The pools and activations directly after a layer, which run together with it.
pub(super) fn tail(graph: &Graph, layer: NodeId) -> Vec<NodeId> {
    let mut tail = Vec::new();
    let mut at = layer;
    while let &[user] = graph.users(at).as_slice()
        && graph
            .find(user)
            .is_some_and(|node| keeps_channels(node.layer()))
    {
        tail.push(user);
        at = user;
    }
    tail
}

pub(super) fn plain_conv(node: &Node) -> Option<&Conv2d> {
    match node.layer() {
        Layer::Conv2d(conv) if conv.groups == 1 => Some(conv),
        _ => None,
    }
}

/// Whether a layer computes each channel from the same channel of its input.
pub(super) fn keeps_channels(layer: &Layer) -> bool {
    match layer {
        Layer::MaxPool2d(_) | Layer::AvgPool2d(_) => true,
        layer => layer.rules().passes_input_on() && layer.activation() != Activation::Softmax,
    }
}
