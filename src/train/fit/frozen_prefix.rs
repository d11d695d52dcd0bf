use std::collections::HashSet;

use crate::graph::{Graph, Node, NodeId};
use crate::model::Model;

/// A model split after the last layer whose output training does not change.
pub(super) struct FrozenPrefix {
    /// The last layer of the front.
    pub(super) layer: String,
    pub(super) front: Model,
    pub(super) back: Model,
}

impl FrozenPrefix {
    /// Splits a model where a single value passes from constant layers to the
    /// others. `None` if there is no such node after a layer with parameters.
    pub(super) fn of(model: &Model) -> Option<Self> {
        let graph = model.graph();
        let constant = constant_nodes(graph);
        let candidates = graph.nodes().rev();
        let mut candidates = candidates
            .filter(|node| constant.contains(&node.id()) && depends_on_parameters(graph, node));
        candidates.find_map(|node| {
            let (front, back) = model.parts_at(node.id()).ok()?;
            Some(Self {
                layer: node.name().to_string(),
                front,
                back,
            })
        })
    }
}

/// The nodes whose output for an example never changes.
fn constant_nodes(graph: &Graph) -> HashSet<NodeId> {
    let mut constant = HashSet::new();
    for node in graph.nodes() {
        if is_constant(node) && node.inputs().iter().all(|input| constant.contains(input)) {
            constant.insert(node.id());
        }
    }
    constant
}

fn is_constant(node: &Node) -> bool {
    !node.layer().rules().is_random() && (node.is_frozen() || node.parameters().is_empty())
}

/// Without parameters there is nothing to save.
fn depends_on_parameters(graph: &Graph, node: &Node) -> bool {
    let needed = graph.ancestors(&[node.id()]);
    let mut needed = graph.nodes().filter(|node| needed.contains(&node.id()));
    needed.any(|node| !node.parameters().is_empty())
}
