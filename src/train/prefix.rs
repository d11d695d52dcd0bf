//! The part of a network that no step of training changes.

use std::collections::HashSet;

use crate::graph::{Graph, Node, NodeId};
use crate::layer::Layer;
use crate::model::Model;

/// A model parted behind its last layer that training leaves as it is.
pub(super) struct Parted {
    /// The layer that the first part ends with.
    pub(super) layer: String,
    pub(super) front: Model,
    pub(super) back: Model,
}

/// Parts a model where one value passes from layers that give the same for an
/// example at every step to those that don't; `None` if there is no such place
/// behind a layer with parameters.
pub(super) fn part(model: &Model) -> Option<Parted> {
    let steady = steady(model.graph());
    let mut candidates = model.graph().nodes().rev();
    candidates.find_map(|node| {
        if !steady.contains(&node.id()) || !works(model.graph(), node.id()) {
            return None;
        }
        let (front, back) = model.parts_at(node.id()).ok()?;
        Some(Parted {
            layer: node.name().to_string(),
            front,
            back,
        })
    })
}

/// The nodes whose value for an example never changes.
fn steady(graph: &Graph) -> HashSet<NodeId> {
    let mut steady = HashSet::new();
    for node in graph.nodes() {
        let rests = node.inputs().iter().all(|input| steady.contains(input));
        if rests && is_steady(node) {
            steady.insert(node.id());
        }
    }
    steady
}

fn is_steady(node: &Node) -> bool {
    match node.layer() {
        Layer::Dropout(dropout) => dropout.rate == 0.0,
        // It may do something else in training, whatever its parameters.
        Layer::Custom(_) => false,
        _ => node.is_frozen() || node.parameters().is_empty(),
    }
}

/// Whether a node depends on parameters: else there is nothing to save.
fn works(graph: &Graph, id: NodeId) -> bool {
    let needed = graph.ancestors(&[id]);
    let mut needed = graph.nodes().filter(|node| needed.contains(&node.id()));
    needed.any(|node| !node.parameters().is_empty())
}
