//! The one writer of nodes.

use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Result;
use crate::layers::{Input, Layer};
use crate::preprocess::Labels;
use crate::shape::Shape;

use super::super::classes::can_name;
use super::super::core::{Graph, illegal};
use super::super::ledger::{Contract, Operation, Operations};
use super::super::node::{Node, NodeId, Parameter};
use super::super::shapes::NodeShape;
use super::changes::Claim;

/// An edit under way: the graph so far, and the verbs that change it. Nothing
/// else writes nodes.
pub(crate) struct EditContext {
    pub(super) graph: Graph,
    before: Graph,
    pub(super) error: Option<f64>,
}

impl Deref for EditContext {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.graph
    }
}

/// How edits begin and end.
impl Graph {
    /// A graph with only an input of this shape, `(C, H, W)`. Add layers with
    /// [`Graph::attach`] and [`Graph::add`].
    ///
    /// # Errors
    /// [`Error::InvalidLayer`](crate::Error::InvalidLayer) if a size is 0 or absurd.
    pub fn new(name: impl Into<String>, input: impl Into<Shape>) -> Result<Self> {
        Self::from_start(name.into(), input.into(), 0, |_| {})
    }

    /// A graph with layers from the start. Its ledger is empty.
    pub(crate) fn from_start(
        name: String,
        input: Shape,
        seed: u64,
        build: impl FnOnce(&mut EditContext),
    ) -> Result<Self> {
        let input = Node::new("input", Input::new(input).into(), Vec::new());
        let graph = Self {
            name,
            outputs: vec![input.id],
            nodes: vec![Arc::new(input)],
            seed,
            preprocessing: None,
            labels: None,
            license: None,
            operations: Operations::default(),
            notes: BTreeMap::new(),
        };
        let mut edit = EditContext::of(graph);
        build(&mut edit);
        edit.infer()?;
        Ok(edit.graph)
    }

    /// Applies an edit as a whole or not at all: nodes that no output depends
    /// on are pruned, shapes inferred again, and what came and went is noted in
    /// the ledger.
    pub(crate) fn edit(
        self,
        what: String,
        claim: Claim,
        change: impl FnOnce(&mut EditContext) -> Result<()>,
    ) -> Result<Self> {
        let mut edit = EditContext::of(self);
        change(&mut edit)?;
        edit.prune();
        edit.sort()?;
        edit.infer()?;
        edit.drop_stale_labels();
        Ok(edit.noted(what, claim))
    }

    /// Applies an edit of flags and seeds, after which every node and shape is
    /// still there.
    pub(crate) fn mark(self, what: String, change: impl FnOnce(&mut EditContext)) -> Self {
        let mut edit = EditContext::of(self);
        change(&mut edit);
        edit.noted(what, Claim::Is(Contract::Exact))
    }

    /// Applies a change that is no edit, of which the ledger says nothing: how
    /// a model keeps the values, which layers one of its uses trains.
    pub(crate) fn rewrite(
        self,
        change: impl FnOnce(&mut EditContext) -> Result<()>,
    ) -> Result<Self> {
        let mut edit = EditContext::of(self);
        change(&mut edit)?;
        Ok(edit.graph)
    }

    /// Adds a node that no output needs to depend on, or leaves the graph as
    /// it was.
    pub(in crate::graph) fn grow(
        &mut self,
        name: String,
        layer: Layer,
        inputs: Vec<NodeId>,
    ) -> Result<NodeId> {
        let mut edit = EditContext::of(self.clone());
        let what = format!("add(\"{name}\")");
        let id = edit.place(edit.len(), Some(name), layer, inputs)?;
        edit.infer()?;
        *self = edit.noted(what, Claim::Inferred);
        Ok(id)
    }

    pub(crate) fn pruned(self) -> Self {
        let mut edit = EditContext::of(self);
        edit.prune();
        edit.graph
    }

    /// Enters into the ledger that some layers' values were learned in a model.
    pub(crate) fn note_learning(&mut self, what: String, layers: Vec<String>, contract: Contract) {
        let (mut kept, mut derived) = (0u64, 0u64);
        let entry = self.operations.len();
        for node in &mut self.nodes {
            let learned = layers.contains(&node.name);
            let count = if learned { &mut derived } else { &mut kept };
            *count = count.saturating_add(node.parameter_count());
            if learned {
                let parameters = Arc::make_mut(node).parameters.iter_mut();
                parameters.for_each(|parameter| parameter.derive(entry));
            }
        }
        self.operations.0.push(Operation {
            kept,
            derived,
            dropped: derived,
            ..Operation::without_counts(what, layers, contract)
        });
    }

    /// A copy whose nodes that clash have other handles.
    pub(crate) fn with_fresh_ids_where(self, clashes: impl Fn(NodeId) -> bool) -> Self {
        let mut edit = EditContext::of(self);
        for old in edit.ids_where(|node| clashes(node.id)) {
            let fresh = NodeId::unique();
            edit.node_mut(old).id = fresh;
            edit.redirect(old, fresh);
            edit.move_labels(old, fresh);
        }
        edit.graph
    }

    /// A copy whose ledger has only the entries that parameters name, without
    /// counts: what they say of the rest of this network says nothing about
    /// the one that it is put into.
    pub(crate) fn with_named_entries(self) -> Self {
        let parameters = self.nodes().flat_map(Node::parameters);
        let mut named: Vec<usize> = parameters.filter_map(|p| p.made_by_entry).collect();
        named.sort_unstable();
        named.dedup();
        let mut edit = EditContext::of(self);
        for id in edit.ids() {
            edit.change_parameters(id, |parameter| {
                let entry = parameter.made_by_entry;
                parameter.made_by_entry = entry.and_then(|entry| named.binary_search(&entry).ok());
            });
        }
        let entries = named.iter().map(|&entry| {
            let entry = edit.operations[entry].clone();
            Operation::without_counts(entry.what, entry.layers, entry.contract)
        });
        edit.graph.operations = Operations(entries.collect());
        edit.graph
    }
}

impl EditContext {
    fn of(graph: Graph) -> Self {
        Self {
            before: graph.clone(),
            graph,
            error: None,
        }
    }

    fn noted(mut self, what: String, claim: Claim) -> Graph {
        let mut entry = self.before.entry_of(&self.graph, what, claim);
        // What JSON can't say would make the model unreadable.
        entry.error = self.error.filter(|error| error.is_finite());
        let index = self.operations.len();
        for node in &mut self.graph.nodes {
            let needs_entry = |p: &Parameter| self.before.needs_entry(node, p);
            let made: Vec<bool> = node.parameters.iter().map(needs_entry).collect();
            if made.contains(&true) {
                let parameters = Arc::make_mut(node).parameters.iter_mut().zip(made);
                for (parameter, _) in parameters.filter(|(_, made)| *made) {
                    parameter.made_by_entry = Some(index);
                }
            }
        }
        self.graph.operations.0.push(entry);
        self.graph
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let node = self.graph.nodes.iter_mut().find(|node| node.id == id);
        let node = node.expect("edges and outputs name nodes of their own graph");
        Arc::make_mut(node)
    }

    /// Drops every node that no output depends on.
    pub(crate) fn prune(&mut self) {
        let alive = self.ancestors(&self.outputs);
        self.graph.nodes.retain(|node| alive.contains(&node.id));
    }

    /// Puts every node after its inputs, and leaves the order alone otherwise.
    fn sort(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.graph.nodes);
        let mut placed: HashSet<NodeId> = HashSet::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let ready = waiting
                .iter()
                .position(|node| node.inputs.iter().all(|input| placed.contains(input)));
            let Some(ready) = ready else {
                let reason = "its inputs would depend on its output";
                return Err(illegal(&waiting[0].name, reason));
            };
            let node = waiting.remove(ready);
            placed.insert(node.id);
            self.graph.nodes.push(node);
        }
        Ok(())
    }

    /// Infers every shape again, and fits the parameters to them.
    pub(in crate::graph) fn infer(&mut self) -> Result<()> {
        let mut shapes = self.infer_all(self.input_shape(), |_| true)?;
        for node in &mut self.graph.nodes {
            let Some(NodeShape { shape, parameters }) = shapes.remove(&node.id) else {
                continue;
            };
            if node.shape == shape && parameters.is_none() {
                continue;
            }
            let node = Arc::make_mut(node);
            node.shape = shape;
            if let Some(parameters) = parameters {
                node.parameters = parameters;
            }
        }
        Ok(())
    }

    /// Drops labels whose layer is gone or has become one of other channels.
    fn drop_stale_labels(&mut self) {
        let channels = |graph: &Graph, id| graph.find(id).map(|node| node.shape.channels());
        let stale = |(id, labels): &(NodeId, Labels)| {
            let now = channels(&self.graph, *id);
            let is_other = now != channels(&self.before, *id).or(now);
            now.is_none_or(|now| match is_other {
                true => labels.len() != now,
                false => !can_name(labels.len(), now),
            })
        };
        if self.labels.as_ref().is_some_and(stale) {
            self.graph.labels = None;
        }
    }
}
