//! Which nodes depend on which.

use std::collections::{HashMap, HashSet};

use crate::shape::Shape;

use super::core::Graph;
use super::node::{Node, NodeId};

impl Graph {
    /// These nodes and all nodes that they depend on.
    pub(crate) fn ancestors(&self, nodes: &[NodeId]) -> HashSet<NodeId> {
        self.ancestors_until(nodes, None)
    }

    /// These nodes and all nodes that they depend on, except nodes that only
    /// the inputs of `stop` lead to.
    pub(crate) fn ancestors_until(
        &self,
        nodes: &[NodeId],
        stop: Option<NodeId>,
    ) -> HashSet<NodeId> {
        let by_id: HashMap<NodeId, &Node> = self.nodes().map(|node| (node.id(), node)).collect();
        reached(nodes, |id| {
            let node = by_id.get(&id).filter(|_| Some(id) != stop);
            node.into_iter().flat_map(|node| node.inputs()).copied()
        })
    }

    /// The nodes that depend on this node, each after its inputs.
    pub(crate) fn followers(&self, id: NodeId) -> Vec<NodeId> {
        let following = self.descendants(id);
        self.ids_where(|node| node.id() != id && following.contains(&node.id()))
    }

    /// This node and all nodes that depend on it.
    pub(crate) fn descendants(&self, id: NodeId) -> HashSet<NodeId> {
        self.descendants_through(id, |_| true)
    }

    /// This node and the nodes that depend on it. The walk ends at nodes that
    /// do not pass; they are part of the result.
    pub(crate) fn descendants_through(
        &self,
        id: NodeId,
        passes: impl Fn(&Node) -> bool,
    ) -> HashSet<NodeId> {
        let passing: HashSet<NodeId> = self.ids_where(passes).into_iter().collect();
        let readers = self.readers(|_| true);
        reached(&[id], |id| {
            let next = readers.get(&id).filter(|_| passing.contains(&id));
            next.into_iter().flatten().map(|node| node.id())
        })
    }

    /// The nodes that read each node's value, among those that count. A node
    /// is listed once for each of its inputs.
    pub(crate) fn readers(&self, counts: impl Fn(&Node) -> bool) -> HashMap<NodeId, Vec<&Node>> {
        let mut readers: HashMap<NodeId, Vec<&Node>> = HashMap::new();
        for node in self.nodes().filter(|node| counts(node)) {
            for &input in node.inputs() {
                readers.entry(input).or_default().push(node);
            }
        }
        readers
    }

    /// A value for each node, computed from the values of its inputs.
    pub(crate) fn flow<T>(&self, mut value: impl FnMut(&Node, &[&T]) -> T) -> HashMap<NodeId, T> {
        let mut values = HashMap::with_capacity(self.len());
        for node in self.nodes() {
            let inputs: Vec<&T> = node.inputs().iter().map(|id| &values[id]).collect();
            let value = value(node, &inputs);
            values.insert(node.id(), value);
        }
        values
    }

    /// The nodes on the way to a node, from it backwards, up to one that does
    /// not have exactly one input.
    pub(crate) fn path_to(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.find(id), |node| match node.inputs() {
            &[input] => self.find(input),
            _ => None,
        })
    }

    pub(crate) fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        let inputs = node.inputs().iter();
        inputs.map(|&id| self.expect_node(id).shape()).collect()
    }

    pub(crate) fn names(&self, nodes: &[NodeId]) -> Vec<String> {
        let nodes = nodes.iter().map(|&id| self.expect_node(id));
        nodes.map(|node| node.name().to_string()).collect()
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

/// These nodes and all nodes reached from them.
fn reached<N: Iterator<Item = NodeId>>(
    nodes: &[NodeId],
    next: impl Fn(NodeId) -> N,
) -> HashSet<NodeId> {
    let mut reached = HashSet::new();
    let mut pending = nodes.to_vec();
    while let Some(id) = pending.pop() {
        if reached.insert(id) {
            pending.extend(next(id));
        }
    }
    reached
}
