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

    /// This node, and all that depends on it.
    pub(crate) fn descendants(&self, id: NodeId) -> HashSet<NodeId> {
        self.descendants_through(id, |_| true)
    }

    /// This node, and all that depends on it through nodes that let it pass
    /// alone; what they let it pass to is among them.
    pub(crate) fn descendants_through(
        &self,
        id: NodeId,
        passes: impl Fn(&Node) -> bool,
    ) -> HashSet<NodeId> {
        let passing: HashSet<NodeId> = self.ids_where(&passes).into_iter().collect();
        let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for node in self.nodes() {
            for &input in node.inputs().iter().filter(|id| passing.contains(id)) {
                users.entry(input).or_default().push(node.id());
            }
        }
        reached(&[id], |id| users.get(&id).map_or(&[], Vec::as_slice))
    }

    /// The nodes on the way to a node, from it backwards, up to one that does
    /// not have exactly one input.
    pub(crate) fn path_to(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.find(id), |node| match node.inputs() {
            &[input] => self.find(input),
            _ => None,
        })
    }

    /// The nodes that take a node's value.
    pub(crate) fn users(&self, id: NodeId) -> Vec<NodeId> {
        self.ids_where(|node| node.inputs().contains(&id))
    }

    /// The handles of all nodes, each after its inputs.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.ids_where(|_| true)
    }

    /// The handles of some nodes, each after its inputs.
    pub(crate) fn ids_where(&self, is_wanted: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let nodes = self.nodes().filter(|node| is_wanted(node));
        nodes.map(Node::id).collect()
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
