//! What an edit may do to nodes.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layers::{Input, Layer, NamedLayer};
use crate::preprocess::{Labels, Preprocessing};
use crate::shape::Shape;

use super::super::core::{Graph, illegal};
use super::super::ledger::{Operation, Operations};
use super::super::node::{Alias, Node, NodeId, Parameter, Part};
use super::super::origin::{Precision, TensorId, parameter_seed};
use super::super::select::{Pick, Selection};
use super::edit::EditContext;
use super::names::{is_behind_activation, snake_case};

/// Nodes that come and go, and what they take.
impl EditContext {
    /// A node for what a name means: where that is a part of a layer, the
    /// layer's activation becomes a node, and the function stays.
    pub(crate) fn isolate(&mut self, pick: Pick) -> Result<NodeId> {
        let node = self.find(pick.id).ok_or(Error::UnknownNode)?;
        if pick.part == Part::Whole || !node.has_activation() {
            return Ok(pick.id);
        }
        let activation = self.split_activation(pick.id);
        Ok(match pick.part {
            Part::Activation => activation,
            _ => pick.id,
        })
    }

    pub(crate) fn isolate_all(&mut self, selection: &Selection) -> Result<Vec<NodeId>> {
        let picks = selection.picks.iter();
        picks.map(|&pick| self.isolate(pick)).collect()
    }

    pub(in crate::graph) fn split_activation(&mut self, id: NodeId) -> NodeId {
        let node = self.node_mut(id);
        let activation = node.layer.activation();
        node.layer.set_activation(Default::default());
        let mut split = Node::new(
            format!("{}_{activation}", node.name),
            activation.into(),
            vec![id],
        );
        let aliases = std::mem::take(&mut node.aliases);
        let behind = |alias: &Alias| is_behind_activation(alias, &aliases);
        let (moved, own) = aliases.iter().cloned().partition(behind);
        (node.aliases, split.aliases) = (own, moved);
        for alias in node.aliases.iter_mut().chain(&mut split.aliases) {
            alias.part = Part::Whole;
        }
        (split.frozen, split.is_top) = (node.frozen, node.is_top);
        split.shape = node.shape;
        split.name = self.free_name(&split.name);
        let split_id = split.id;
        self.redirect(id, split_id);
        let position = self.position(id).map_or(self.len(), |index| index + 1);
        self.graph.nodes.insert(position, Arc::new(split));
        split_id
    }

    /// Lets all that took one node's value take another's.
    pub(crate) fn redirect(&mut self, from: NodeId, to: NodeId) {
        let users = self.users(from);
        let users: Vec<NodeId> = users.into_iter().filter(|&user| user != to).collect();
        self.redirect_users(&users, from, to);
    }

    /// Lets these nodes and the outputs take another value than a node's.
    pub(in crate::graph) fn redirect_users(&mut self, users: &[NodeId], from: NodeId, to: NodeId) {
        let replace = |id: &mut NodeId| {
            if *id == from {
                *id = to;
            }
        };
        for &user in users {
            self.node_mut(user).inputs.iter_mut().for_each(replace);
        }
        self.graph.outputs.iter_mut().for_each(replace);
    }

    /// Puts a chain of new nodes after a node, and returns the last one. Nodes
    /// after a part of the classifier belong to it too.
    pub(crate) fn chain(&mut self, source: NodeId, layers: Vec<NamedLayer>) -> Result<NodeId> {
        let mut last = source;
        for NamedLayer { name, layer } in layers {
            let position = self.position(last).map_or(self.len(), |index| index + 1);
            let next = self.place(position, name, layer, vec![last])?;
            self.node_mut(next).is_top = self.expect_node(last).is_top;
            last = next;
        }
        Ok(last)
    }

    /// Puts a new node at a position, under a free name if it has none.
    pub(crate) fn place(
        &mut self,
        position: usize,
        name: Option<String>,
        layer: Layer,
        inputs: Vec<NodeId>,
    ) -> Result<NodeId> {
        if matches!(layer, Layer::Input(_)) {
            let reason = "a graph has one input; set its shape with input(..)";
            return Err(illegal(name.as_deref().unwrap_or("input"), reason));
        }
        let name = match name {
            Some(name) => {
                self.check_new_name(&name)?;
                name
            }
            None => self.free_name(&snake_case(layer.kind())),
        };
        Ok(self.put(position, Node::new(name, layer, inputs)))
    }

    /// Puts a node after the only output, and makes it the output. Its name must
    /// be free.
    pub(crate) fn extend(&mut self, name: String, layer: Layer) -> NodeId {
        let node = Node::new(name, layer, self.graph.outputs.clone());
        self.graph.outputs = vec![node.id];
        self.put(self.len(), node)
    }

    fn put(&mut self, position: usize, node: Node) -> NodeId {
        let id = node.id;
        self.graph.nodes.insert(position, Arc::new(node));
        id
    }

    /// Puts another graph without its input after a node, and returns its
    /// outputs. The entries of its ledger are added to this one.
    pub(crate) fn graft(
        &mut self,
        part: Graph,
        source: NodeId,
        add_entry: impl Fn(&mut Operations, Operation) -> usize,
    ) -> Result<Vec<NodeId>> {
        let entries = part.operations.0.into_iter();
        let entries: Vec<usize> = entries
            .map(|entry| add_entry(&mut self.graph.operations, entry))
            .collect();
        let mut input = None;
        for node in part.nodes {
            if matches!(node.layer, Layer::Input(_)) {
                input = Some(node.id);
                continue;
            }
            self.check_new_name(&node.name)?;
            let id = node.id;
            self.graph.nodes.push(node);
            self.change_parameters(id, |parameter| {
                let entry = parameter.made_by_entry;
                parameter.made_by_entry = entry.and_then(|entry| entries.get(entry).copied());
            });
        }
        if let Some(input) = input {
            self.redirect(input, source);
        }
        let outputs = part.outputs.into_iter();
        Ok(outputs
            .map(|id| if Some(id) == input { source } else { id })
            .collect())
    }

    /// Takes nodes out, whatever takes their values.
    pub(crate) fn take_out(&mut self, nodes: &[NodeId]) {
        self.graph.nodes.retain(|node| !nodes.contains(&node.id));
    }

    /// Lets a new input take a node's place; the old one's ancestors die.
    pub(in crate::graph) fn start_after(&mut self, entry: NodeId) {
        let old = self.nodes().find(|node| is_input(node));
        let name = old.map_or_else(|| "input".to_string(), |node| node.name.clone());
        let input = Input::new(self.expect_node(entry).shape);
        let id = self.put(0, Node::new(name, input.into(), Vec::new()));
        self.redirect(entry, id);
    }

    pub(crate) fn set_inputs(&mut self, id: NodeId, inputs: Vec<NodeId>) {
        self.node_mut(id).inputs = inputs;
    }

    pub(crate) fn set_outputs(&mut self, outputs: Vec<NodeId>) {
        self.graph.outputs = outputs;
    }
}

/// What nodes are.
impl EditContext {
    pub(crate) fn set_layer(&mut self, id: NodeId, layer: impl Into<Layer>) {
        self.node_mut(id).layer = layer.into();
    }

    pub(crate) fn change_layer<T>(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut Layer) -> T,
    ) -> T {
        change(&mut self.node_mut(id).layer)
    }

    pub(crate) fn set_input(&mut self, shape: Shape) {
        for id in self.ids_where(is_input) {
            self.set_layer(id, Input::new(shape));
        }
    }

    pub(in crate::graph) fn set_name(&mut self, id: NodeId, name: String) {
        self.node_mut(id).name = name;
    }

    pub(crate) fn change_aliases(&mut self, id: NodeId, change: impl FnOnce(&mut Vec<Alias>)) {
        change(&mut self.node_mut(id).aliases);
    }

    pub(crate) fn set_frozen(&mut self, id: NodeId, frozen: bool) {
        self.node_mut(id).frozen = frozen;
    }

    pub(crate) fn set_top(&mut self, id: NodeId, is_top: bool) {
        self.node_mut(id).is_top = is_top;
    }
}

/// Where values come from.
impl EditContext {
    pub(crate) fn change_parameters(&mut self, id: NodeId, change: impl FnMut(&mut Parameter)) {
        if !self.expect_node(id).parameters.is_empty() {
            self.node_mut(id).parameters.iter_mut().for_each(change);
        }
    }

    /// Adds a parameter to a layer, or replaces the one of this name.
    pub(crate) fn set_derived(
        &mut self,
        id: NodeId,
        name: &str,
        shape: &[usize],
        tensor: TensorId,
    ) {
        let parameters = &mut self.node_mut(id).parameters;
        let known = parameters.iter_mut().find(|known| known.name == name);
        let derived = Parameter::derived(name, shape, tensor, known.as_deref());
        match known {
            Some(known) => *known = derived,
            None => parameters.push(derived),
        }
    }

    pub(crate) fn set_precision(&mut self, id: NodeId, name: &str, precision: Precision) {
        self.change_parameters(id, |parameter| {
            if parameter.name == name {
                parameter.precision = Some(precision);
            }
        });
    }

    /// In the shape that the layer needs now.
    pub(in crate::graph) fn redraw(&mut self, id: NodeId) {
        let inputs = self.input_shapes(self.expect_node(id));
        let seed = self.seed;
        let node = self.node_mut(id);
        let specs = node.layer.rules().parameters(&inputs).into_iter();
        let drawn = specs.map(|spec| {
            let seed = parameter_seed(seed, &node.name, &spec.name);
            let old = node.parameters.iter().find(|old| old.name == spec.name);
            Parameter::drawn(spec, seed, old)
        });
        node.parameters = drawn.collect();
    }

    pub(in crate::graph) fn reseed(&mut self, seed: u64) {
        self.graph.seed = seed;
        for id in self.ids() {
            let name = self.expect_node(id).name.clone();
            self.change_parameters(id, |parameter| {
                let drawn = parameter_seed(seed, &name, &parameter.name);
                parameter.reseed(drawn);
            });
        }
    }

    /// Notes how far derived weights are from the weights before the edit, as
    /// a fraction of their norm.
    pub(crate) fn set_error(&mut self, error: f64) {
        self.error = Some(error);
    }
}

/// What belongs to the weights.
impl EditContext {
    pub(crate) fn set_preprocessing(&mut self, preprocessing: Option<Preprocessing>) {
        self.graph.preprocessing = preprocessing;
    }

    pub(crate) fn set_license(&mut self, license: Option<String>) {
        self.graph.license = license;
    }

    pub(crate) fn set_labels(&mut self, labels: Option<(NodeId, Labels)>) {
        self.graph.labels = labels;
    }

    /// Lets labels follow when one node takes over another's value.
    pub(crate) fn move_labels(&mut self, from: NodeId, to: NodeId) {
        if let Some((labeled, _)) = &mut self.graph.labels
            && *labeled == from
        {
            *labeled = to;
        }
    }
}

fn is_input(node: &Node) -> bool {
    matches!(node.layer, Layer::Input(_))
}
