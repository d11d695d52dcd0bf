//! Which layers run together, and as what steps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::graph::{Node, NodeId, Pick};
use crate::layer::{Activation, Layer};
use crate::ops::{self, Step, Watch};

use super::core::Model;

/// Layers that turn one value into the next, nothing else being read of them
/// than the value of the last.
pub(super) struct Chain<'a> {
    pub(super) nodes: Vec<&'a Node>,
    pub(super) steps: Vec<Step>,
    /// What is still to be applied to the value of the last layer.
    pub(super) activation: Activation,
}

impl Chain<'_> {
    /// Its layers, as errors name them.
    pub(super) fn name(&self) -> String {
        match self.nodes.as_slice() {
            [first, .., last] => format!("{}..{}", first.name, last.name),
            [only] => only.name.clone(),
            [] => String::new(),
        }
    }
}

/// What is read of each node that the picks depend on.
pub(super) struct Readers<'a> {
    /// How often each value is used.
    pub(super) uses: HashMap<NodeId, usize>,
    /// A node that reads the value.
    by: HashMap<NodeId, &'a Node>,
    picks: &'a [Pick],
    watches: &'a [(NodeId, Arc<dyn Watch>)],
}

impl<'a> Readers<'a> {
    /// Nothing is read for the node whose value is given.
    pub(super) fn new(
        model: &'a Model,
        picks: &'a [Pick],
        given: Option<NodeId>,
        watches: &'a [(NodeId, Arc<dyn Watch>)],
    ) -> Self {
        let mut uses: HashMap<NodeId, usize> = HashMap::new();
        let mut by = HashMap::new();
        let mut pending: Vec<NodeId> = Vec::new();
        for pick in picks {
            *uses.entry(pick.id).or_default() += 1;
            pending.push(pick.id);
        }
        let mut seen = std::collections::HashSet::new();
        while let Some(id) = pending.pop() {
            if Some(id) != given && seen.insert(id) {
                let node = model.graph.expect_node(id);
                for &input in node.inputs() {
                    *uses.entry(input).or_default() += 1;
                    by.insert(input, node);
                    pending.push(input);
                }
            }
        }
        Self {
            uses,
            by,
            picks,
            watches,
        }
    }

    /// The node that reads a value, if nothing else does.
    fn only(&self, id: NodeId) -> Option<&'a Node> {
        (self.uses.get(&id) == Some(&1)).then(|| self.by.get(&id).copied())?
    }

    /// Whether the value before a node's activation is wanted.
    pub(super) fn wants_pre(&self, node: &Node) -> bool {
        let mut picks = self.picks.iter();
        picks.any(|pick| pick.id == node.id && pick.means_pre(node))
    }
}

impl Model {
    /// The longest chain that begins with a node.
    pub(super) fn chain<'a>(
        &self,
        first: &'a Node,
        readers: &Readers<'a>,
        training: bool,
    ) -> Option<Chain<'a>> {
        let mut chain = Chain {
            nodes: Vec::new(),
            steps: Vec::new(),
            activation: Activation::Linear,
        };
        let mut next = Some(first);
        while let Some(node) = next {
            let fused = if readers.wants_pre(node) {
                Activation::Linear
            } else {
                own_activation(node)
            };
            let relu = fused == Activation::Relu;
            let Some(steps) = self.steps(node, relu, training) else {
                break;
            };
            chain.nodes.push(node);
            chain.steps.extend(steps);
            let watches = readers.watches.iter();
            let watches = watches.filter(|(id, _)| *id == node.id);
            chain
                .steps
                .extend(watches.map(|(_, watch)| Step::Watch(Arc::clone(watch))));
            if !relu && own_activation(node) != Activation::Linear {
                chain.activation = own_activation(node);
                break;
            }
            next = readers.only(node.id);
        }
        (!chain.nodes.is_empty()).then_some(chain)
    }

    /// A node of one input as steps, through a ReLU if it is the node's own.
    pub(super) fn steps(&self, node: &Node, relu: bool, training: bool) -> Option<Vec<Step>> {
        let window = node.layer.rules().window();
        let affine = || {
            let mut parameters = node.parameters.iter();
            let mut next = || {
                let parameter = parameters.next()?;
                Some(self.get_stored(parameter).identity().clone())
            };
            Some(ops::Affine {
                weight: next()?,
                bias: next(),
                frozen: node.frozen,
                relu,
            })
        };
        let step = match &node.layer {
            Layer::Conv2d(conv) => {
                let groups = conv.groups;
                return Some(vec![Step::Conv2d(
                    ops::Convolution { window, groups },
                    affine()?,
                )]);
            }
            Layer::Dense(_) => return Some(vec![Step::Dense(affine()?)]),
            Layer::MaxPool2d(_) => Step::MaxPool2d(window),
            Layer::AvgPool2d(_) => Step::AvgPool2d(window),
            Layer::GlobalAvgPool2d(_) => Step::GlobalAvgPool2d,
            Layer::GlobalMaxPool2d(_) => Step::GlobalMaxPool2d,
            Layer::AdaptiveAvgPool2d(pool) => Step::AdaptiveAvgPool2d(pool.output_size),
            Layer::BatchNorm2d(norm) if !training || node.frozen => {
                Step::BatchNorm(self.running_batch_norm(node, norm)?)
            }
            Layer::Activation(Activation::Relu) => return Some(vec![Step::Relu]),
            Layer::Activation(Activation::Linear) => return Some(Vec::new()),
            Layer::Flatten(flatten) => Step::Flatten(flatten.order),
            Layer::Dropout(dropout) if training => {
                let mask = self.masks_drawn.fetch_add(1, Ordering::Relaxed);
                Step::Dropout {
                    rate: dropout.rate,
                    seed: self.graph.mask_seed(&node.name, mask),
                }
            }
            Layer::Dropout(_) => return Some(Vec::new()),
            _ => return None,
        };
        Some(if relu {
            vec![step, Step::Relu]
        } else {
            vec![step]
        })
    }
}

/// The activation that a layer carries besides what it computes.
pub(super) fn own_activation(node: &Node) -> Activation {
    if node.has_activation() {
        node.layer.activation()
    } else {
        Activation::Linear
    }
}
