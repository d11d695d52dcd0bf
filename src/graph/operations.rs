use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::layer::{Activation, Layer};

use super::core::Graph;
use super::node::{Node, NodeId, Origin, Parameter, TensorId};
use super::summary::{aligned, with_commas};

/// What an edit promises about the function that the network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// Every layer that is left computes what it did, up to rounding in the
    /// type that its values are held in.
    Exact,
    /// Values differ, but none of them comes from a parameter drawn at random.
    Approximate,
    /// Parameters are drawn at random: what follows them is to be trained.
    Reinitialising,
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Reinitialising => "reinitialising",
        })
    }
}

/// One edit: what was done where, what it promises, and what became of the
/// weights, in numbers of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Operation {
    /// The edit as it was called: `truncate("block2_pool")`.
    pub what: String,
    /// The layers that it brought, changed or took away, in the graph's order.
    pub layers: Vec<String>,
    /// What it promises.
    pub contract: Contract,
    /// Values that were there before and still are.
    pub kept: u64,
    /// Values computed from those before.
    pub derived: u64,
    /// Values drawn at random.
    pub new: u64,
    /// Values that are no longer there.
    pub dropped: u64,
    /// How far the derived weights are from those before: the norm of the
    /// difference as a share of the norm, where the edit knows it.
    pub error: Option<f64>,
}

/// The edits that made a graph what it is, in order. Displays as a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations(pub(crate) Vec<Operation>);

impl Deref for Operations {
    type Target = [Operation];

    fn deref(&self) -> &[Operation] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Operations {
    type Item = &'a Operation;
    type IntoIter = std::slice::Iter<'a, Operation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "Operation",
            "Where",
            "Contract",
            "Kept",
            "Derived",
            "New",
            "Dropped",
            "Weights off",
        ];
        let mut cells = vec![header.map(String::from).to_vec()];
        let with_errors = self.iter().any(|operation| operation.error.is_some());
        cells.extend(self.iter().map(|operation| {
            let place = match operation.layers.as_slice() {
                [] => String::new(),
                [only] => only.clone(),
                [first, .., last] => format!("{first} .. {last} ({})", operation.layers.len()),
            };
            vec![
                operation.what.clone(),
                place,
                operation.contract.to_string(),
                with_commas(operation.kept),
                with_commas(operation.derived),
                with_commas(operation.new),
                with_commas(operation.dropped),
                operation
                    .error
                    .map_or_else(String::new, |error| format!("{error:.1e}")),
            ]
        }));
        if !with_errors {
            cells
                .iter_mut()
                .for_each(|row| row.truncate(header.len() - 1));
        }
        f.write_str(&aligned(&cells, 3..header.len()))
    }
}

/// What an edit says of its own contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The graph finds out by comparing what its nodes compute.
    Found,
    /// This one, unless parameters are drawn anew.
    Is(Contract),
}

/// A graph's nodes and outputs before an edit.
pub(crate) struct Before {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) outputs: Vec<NodeId>,
}

/// What tells one parameter's values from all others'.
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

fn identities(nodes: &[Arc<Node>]) -> HashMap<Identity<'_>, &Parameter> {
    let parameters = nodes
        .iter()
        .flat_map(|node| node.parameters.iter().map(move |p| (identity(node, p), p)));
    parameters.collect()
}

impl Graph {
    /// The edits that made the graph what it is: what each promised, and what
    /// became of the weights. Training is no edit: a `History` tells of it, and
    /// goes with the model.
    ///
    /// ```
    /// use vgg_surgery::{Contract, Dense, Head, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .truncate("block2_pool")?
    ///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(10)))?;
    /// println!("{}", graph.operations());
    /// let (cut, head) = (&graph.operations()[0], &graph.operations()[1]);
    /// assert_eq!((cut.contract, cut.kept), (Contract::Exact, 260_160));
    /// assert_eq!((head.contract, head.new), (Contract::Reinitialising, 1_290));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    pub(crate) fn snapshot(&self) -> Before {
        Before {
            nodes: self.nodes.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// Notes an edit, with what it did to the weights.
    pub(crate) fn note_operation(&mut self, what: &str, before: &Before, claim: Claim) {
        let (old, now) = (identities(&before.nodes), identities(&self.nodes));
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
            _ if new > 0 => Contract::Reinitialising,
            Claim::Is(contract) => contract,
            Claim::Found if self.computes_as(before) => Contract::Exact,
            Claim::Found => Contract::Approximate,
        };
        let operation = Operation {
            what: what.to_string(),
            layers: self.touched(before),
            contract,
            kept,
            derived,
            new,
            dropped,
            error: None,
        };
        self.operations.0.push(operation);
    }

    /// Notes that some layers' values were learned anew in a model.
    pub(crate) fn note_learning(&mut self, what: String, layers: Vec<String>, contract: Contract) {
        let (mut kept, mut derived) = (0u64, 0u64);
        for node in &mut self.nodes {
            let learned = layers.contains(&node.name);
            let count = if learned { &mut derived } else { &mut kept };
            let counts = node.parameters.iter().map(Parameter::count);
            *count = counts.fold(*count, u64::saturating_add);
            if learned {
                let parameters = Arc::make_mut(node).parameters.iter_mut();
                parameters.for_each(|parameter| parameter.derive(&what));
            }
        }
        self.operations.0.push(Operation {
            what,
            layers,
            contract,
            kept,
            derived,
            new: 0,
            dropped: derived,
            error: None,
        });
    }

    /// Adds to the last edit what it did to the weights it derived.
    pub(crate) fn set_operation_error(&mut self, error: Option<f64>) {
        if let Some(operation) = self.operations.0.last_mut() {
            // What JSON can't say would make the model unreadable.
            operation.error = error.filter(|error| error.is_finite());
        }
    }

    /// Names of the layers that came, went or changed; those that took another
    /// value before are as they were.
    fn touched(&self, before: &Before) -> Vec<String> {
        let old: HashMap<NodeId, &Arc<Node>> = before.nodes.iter().map(|n| (n.id, n)).collect();
        let now: HashSet<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let mut names: Vec<String> = Vec::new();
        let mut earlier = before.nodes.iter().peekable();
        for node in &self.nodes {
            // What is gone stands before what came after it.
            while let Some(gone) = earlier.next_if(|node| !now.contains(&node.id)) {
                names.push(gone.name.clone());
            }
            earlier.next_if(|earlier| earlier.id == node.id);
            let came = match old.get(&node.id) {
                None => true,
                Some(old) => !Arc::ptr_eq(old, node) && differs(old, node),
            };
            if came {
                names.push(node.name.clone());
            }
        }
        let gone = earlier.filter(|node| !now.contains(&node.id));
        names.extend(gone.map(|node| node.name.clone()));
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// Whether every node that is left computes what it did, and so does every
    /// output that is no such node, by the structure alone.
    fn computes_as(&self, before: &Before) -> bool {
        let old = Values::of(&before.nodes);
        let now = Values::of(&self.nodes);
        let present: HashSet<u64> = now.post.values().copied().collect();
        // A layer may lose its activation to a node of its own, and to nothing
        // else.
        let is_left = |id: &NodeId| {
            let value = now.post[id];
            old.post
                .get(id)
                .map(|post| value == *post || (value == old.pre[id] && present.contains(post)))
        };
        let unchanged = self
            .nodes
            .iter()
            .all(|node| is_left(&node.id) != Some(false));
        let still = |id: &NodeId| present.contains(&old.post[id]);
        let was = |(place, id): (usize, &NodeId)| {
            let before = before.outputs.get(place);
            is_left(id).is_some() || before.is_some_and(|before| now.post[id] == old.post[before])
        };
        unchanged && (before.outputs.iter().all(still) || self.outputs.iter().enumerate().all(was))
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

/// A number for what each node computes, before and after its activation:
/// equal numbers stand for equal functions of the input.
struct Values {
    pre: HashMap<NodeId, u64>,
    post: HashMap<NodeId, u64>,
}

impl Values {
    fn of(nodes: &[Arc<Node>]) -> Self {
        let mut values = Self {
            pre: HashMap::with_capacity(nodes.len()),
            post: HashMap::with_capacity(nodes.len()),
        };
        for node in nodes {
            let inputs: Vec<u64> = node.inputs.iter().map(|id| values.post[id]).collect();
            let (pre, activation) = match &node.layer {
                Layer::Input(_) => (0, Activation::Linear),
                Layer::Dropout(_) => (inputs[0], Activation::Linear),
                Layer::Activation(activation) => (inputs[0], *activation),
                layer => (before_activation(node, layer, &inputs), layer.activation()),
            };
            let post = match activation {
                Activation::Linear => pre,
                activation => hashed(|hasher| (activation, pre).hash(hasher)),
            };
            values.pre.insert(node.id, pre);
            values.post.insert(node.id, post);
        }
        values
    }
}

fn before_activation(node: &Node, layer: &Layer, inputs: &[u64]) -> u64 {
    let mut bare = layer.clone();
    bare.set_activation(Activation::Linear);
    hashed(|hasher| {
        match &bare {
            // Two of a user's layers may print alike.
            Layer::Custom(custom) => custom.address().hash(hasher),
            other => format!("{other:?}").hash(hasher),
        }
        for parameter in &node.parameters {
            identity(node, parameter).hash(hasher);
        }
        inputs.hash(hasher);
    })
}

fn hashed(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    hasher.finish()
}
