//! Which nodes depend on which.

use std::collections::{HashMap, HashSet};

use super::core::Graph;
use super::node::{Node, NodeId};

impl Graph {
    /// These nodes, and all that they depend on.
    pub(crate) fn ancestors(&self, nodes: &[NodeId]) -> HashSet<NodeId> {
        let by_id: HashMap<NodeId, &Node> = self.nodes().map(|node| (node.id(), node)).collect();
        reached(nodes, |id| by_id.get(&id).map_or(&[], |node| node.inputs()))
    }
}

/// These nodes, and all that is reached from them, one node after the other.
fn reached<'g>(nodes: &[NodeId], next: impl Fn(NodeId) -> &'g [NodeId]) -> HashSet<NodeId> {
    let mut reached = HashSet::new();
    let mut pending = nodes.to_vec();
    while let Some(id) = pending.pop() {
        if reached.insert(id) {
            pending.extend(next(id));
        }
    }
    reached
}
