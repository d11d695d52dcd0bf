//! What an edit did, found by comparing the graph with the graph before.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::layers::{Activation, Layer};

use super::super::core::Graph;
use super::super::ledger::{Contract, DroppedParameter, Operation};
use super::super::node::{Node, NodeId, Parameter};
use super::super::origin::{Origin, TensorId};

/// What an edit claims about its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The contract follows from comparing what the nodes compute.
    Inferred,
    /// This one, unless the edit draws parameters.
    Is(Contract),
}

/// What identifies the values of a parameter.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Tensor(TensorId),
    Pretrained(usize, NodeId, &'a str),
    Drawn(NodeId, &'a str, u64, &'a [usize]),
}

fn identity<'a>(node: &Node, parameter: &'a Parameter) -> Identity<'a> {
    let Parameter { name, shape, .. } = parameter;
    match &parameter.origin {
        Origin::Tensor { id, .. } => Identity::Tensor(*id),
        Origin::Pretrained { weights, .. } => {
            Identity::Pretrained(Arc::as_ptr(weights).addr(), node.id, name)
        }
        Origin::Init { seed, .. } => Identity::Drawn(node.id, name, *seed, shape),
    }
}

fn identities(graph: &Graph) -> HashMap<Identity<'_>, &Parameter> {
    let parameters = graph
        .nodes()
        .flat_map(|node| node.parameters.iter().map(move |p| (identity(node, p), p)));
    parameters.collect()
}

/// The graph before an edit.
impl Graph {
    /// The ledger's entry of the edit that made another graph of this one.
    pub(super) fn entry_of(&self, graph: &Graph, what: String, claim: Claim) -> Operation {
        let (old, now) = (identities(self), identities(graph));
        let (mut kept, mut derived, mut new) = (0u64, 0u64, 0u64);
        for (identity, parameter) in &now {
            let count = match (&parameter.origin, old.contains_key(identity)) {
                (_, true) | (Origin::Pretrained { .. }, false) => &mut kept,
                (Origin::Tensor { .. }, false) => &mut derived,
                (Origin::Init { .. }, false) => &mut new,
            };
            *count = count.saturating_add(parameter.count());
        }
        let gone = old
            .iter()
            .filter(|(identity, _)| !now.contains_key(identity));
        let dropped = gone.fold(0u64, |sum, (_, gone)| sum.saturating_add(gone.count()));
        let contract = match claim {
            _ if new > 0 => Contract::Reinitializing,
            Claim::Is(contract) => contract,
            Claim::Inferred if self.is_computed_by(graph) => Contract::Exact,
            Claim::Inferred => Contract::Approximate,
        };
        Operation {
            what,
            layers: self.touched(graph),
            contract,
            kept,
            derived,
            new,
            dropped,
            error: None,
            dropped_parameters: self.dropped_in(graph),
        }
    }

    fn dropped_in(&self, graph: &Graph) -> Vec<DroppedParameter> {
        let is_drawn = |parameter: &Parameter| matches!(parameter.origin, Origin::Init { .. });
        let mut dropped = Vec::new();
        for node in self.nodes() {
            let now = graph.find(node.id);
            let is_dropped = |old: &&Parameter| match now {
                None => true,
                Some(now) => !is_drawn(old) && now.parameter(&old.name).is_some_and(is_drawn),
            };
            let parameters = node.parameters.iter().filter(is_dropped);
            dropped.extend(parameters.map(|old| DroppedParameter {
                layer: node.name.clone(),
                parameter: old.name.clone(),
                shape: old.shape.clone(),
            }));
        }
        dropped
    }

    /// Whether the edit drew or derived a parameter's values, and they name no
    /// entry of the ledger yet.
    pub(super) fn needs_entry(&self, node: &Node, parameter: &Parameter) -> bool {
        let old = self.find(node.id);
        let old = old.and_then(|old| old.parameter(&parameter.name));
        let was_there = old.is_some_and(|old| {
            old.tensor() == parameter.tensor() && old.is_new() == parameter.is_new()
        });
        let is_made = parameter.is_new() || parameter.is_derived();
        is_made && !was_there && parameter.made_by_entry.is_none()
    }

    /// The names of the layers that were added, removed or changed. A layer that
    /// only has other inputs did not change.
    fn touched(&self, graph: &Graph) -> Vec<String> {
        let is_gone = |node: &&Arc<Node>| graph.find(node.id).is_none();
        let mut names = Vec::new();
        let mut earlier = self.nodes.iter().peekable();
        for node in &graph.nodes {
            // A removed layer is listed before the one that replaced it.
            while let Some(gone) = earlier.next_if(is_gone) {
                names.push(&gone.name);
            }
            earlier.next_if(|earlier| earlier.id == node.id);
            if self.find(node.id).is_none_or(|old| differs(old, node)) {
                names.push(&node.name);
            }
        }
        names.extend(earlier.filter(is_gone).map(|node| &node.name));
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(*name));
        names.into_iter().cloned().collect()
    }

    /// Whether every node that is left computes the same function, and so does
    /// every other output, by the structure alone.
    fn is_computed_by(&self, graph: &Graph) -> bool {
        let (old, now) = (functions(self), functions(graph));
        let present: HashSet<u64> = now.values().map(|now| now.post).collect();
        // A layer may lose its activation to a new node, and to nothing else.
        let is_left = |id: &NodeId| {
            let (old, value) = (old.get(id)?, now[id].post);
            Some(value == old.post || (value == old.pre && present.contains(&old.post)))
        };
        let unchanged = graph.nodes().all(|node| is_left(&node.id) != Some(false));
        let still = |id: &NodeId| present.contains(&old[id].post);
        let was = |(index, id): (usize, &NodeId)| {
            let before = self.outputs.get(index);
            is_left(id).is_some() || before.is_some_and(|before| now[id].post == old[before].post)
        };
        unchanged && (self.outputs.iter().all(still) || graph.outputs.iter().enumerate().all(was))
    }
}

fn differs(old: &Node, now: &Node) -> bool {
    let same_parameters = old.parameters.len() == now.parameters.len()
        && old
            .parameters
            .iter()
            .zip(&now.parameters)
            .all(|(a, b)| identity(old, a) == identity(now, b));
    old.name != now.name || old.layer != now.layer || old.frozen != now.frozen || !same_parameters
}

/// Numbers for what a node computes, before and after its activation. Equal
/// numbers stand for equal functions of the input.
struct Function {
    pre: u64,
    post: u64,
}

fn functions(graph: &Graph) -> HashMap<NodeId, Function> {
    graph.flow(|node, inputs: &[&Function]| {
        let pre = match &node.layer {
            Layer::Input(_) => 0,
            layer if layer.rules().passes_input_on() => inputs[0].post,
            layer => before_activation(node, layer, inputs),
        };
        let post = match node.layer.activation() {
            Activation::Linear => pre,
            activation => hashed(|hasher| (activation, pre).hash(hasher)),
        };
        Function { pre, post }
    })
}

fn before_activation(node: &Node, layer: &Layer, inputs: &[&Function]) -> u64 {
    let mut bare = layer.clone();
    bare.set_activation(Activation::Linear);
    hashed(|hasher| {
        match &bare {
            // Two custom layers may print the same.
            Layer::Custom(custom) => custom.address().hash(hasher),
            other => format!("{other:?}").hash(hasher),
        }
        for parameter in &node.parameters {
            identity(node, parameter).hash(hasher);
        }
        inputs.iter().for_each(|input| input.post.hash(hasher));
    })
}

fn hashed(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    hasher.finish()
}
