use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::core::Graph;
use super::node::{Node, NodeId, Origin};
use super::operations::{Before, Claim};

/// What became of one parameter, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// The layer.
    pub layer: String,
    /// The parameter's name within the layer.
    pub parameter: String,
    /// The parameter's shape.
    pub shape: Vec<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// Whether a parameter is kept, new or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It keeps pretrained or trained values.
    Kept {
        /// Where they come from.
        source: String,
    },
    /// Its values are drawn when the graph is built, or were then.
    New {
        /// The edit that asked for it.
        reason: String,
    },
    /// Its values were computed from others.
    Derived {
        /// The edit that computed them.
        reason: String,
    },
    /// It is no longer part of the network.
    Dropped {
        /// The edit that dropped it.
        reason: String,
    },
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layer,
            parameter,
            shape,
            fate,
        } = self;
        let (word, why) = match fate {
            Fate::Kept { source } => ("kept", format!("from {source}")),
            Fate::New { reason } => ("new", format!("by {reason}")),
            Fate::Derived { reason } => ("derived", format!("by {reason}")),
            Fate::Dropped { reason } => ("dropped", format!("by {reason}")),
        };
        write!(f, "{word:<7} {layer}.{parameter} {shape:?} {why}")
    }
}

/// The record of a parameter that an edit dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dropped {
    layer: String,
    parameter: String,
    shape: Vec<usize>,
    reason: String,
}

impl Graph {
    /// Tells of each parameter whether it is kept, new or dropped, and why:
    /// first those that are there, in order, then the dropped ones.
    ///
    /// ```
    /// use vgg_surgery::{Fate, Vgg16};
    ///
    /// let graph = Vgg16::pretrained().truncate("block1_conv1")?;
    /// let provenance = graph.provenance();
    /// assert!(matches!(provenance[0].fate, Fate::Kept { .. }));
    /// assert_eq!(
    ///     provenance[2].to_string(),
    ///     "dropped block1_conv2.weight [64, 64, 3, 3] by truncate(\"block1_conv1\")"
    /// );
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn provenance(&self) -> Vec<Provenance> {
        let present = self.nodes().flat_map(|node| {
            node.parameters.iter().map(|parameter| Provenance {
                layer: node.name.clone(),
                parameter: parameter.name.clone(),
                shape: parameter.shape.clone(),
                fate: self.fate(node, &parameter.origin),
            })
        });
        let dropped = self.dropped.iter().map(|dropped| Provenance {
            layer: dropped.layer.clone(),
            parameter: dropped.parameter.clone(),
            shape: dropped.shape.clone(),
            fate: Fate::Dropped {
                reason: dropped.reason.clone(),
            },
        });
        present.chain(dropped).collect()
    }

    fn fate(&self, node: &Node, origin: &Origin) -> Fate {
        match origin {
            Origin::Pretrained { weights, .. } => Fate::Kept {
                source: weights.to_string(),
            },
            Origin::Tensor {
                source: Some(source),
                ..
            } if source.derived => Fate::Derived {
                reason: source.words.to_string(),
            },
            Origin::Tensor {
                source: Some(source),
                ..
            } => Fate::Kept {
                source: source.words.to_string(),
            },
            Origin::Tensor { source: None, .. } | Origin::Init { .. } => Fate::New {
                reason: match &node.added_by {
                    Some(edit) => edit.to_string(),
                    None => format!("seed {}", self.seed),
                },
            },
        }
    }

    /// Notes what an edit added, dropped and started anew, and what it
    /// promises.
    pub(crate) fn record(&mut self, what: &str, before: &Before, claim: Claim) {
        self.note_operation(what, before, claim);
        self.note_fates(what.into(), &before.nodes);
    }

    fn note_fates(&mut self, what: Arc<str>, before: &[Arc<Node>]) {
        let known: HashSet<NodeId> = before.iter().map(|node| node.id).collect();
        for node in &mut self.nodes {
            if !known.contains(&node.id) && node.added_by.is_none() {
                Arc::make_mut(node).added_by = Some(what.clone());
            }
        }
        for old in before {
            let now = self.find(old.id);
            let lost: Vec<Dropped> = old
                .parameters
                .iter()
                .filter(|parameter| match now {
                    None => true,
                    Some(now) => {
                        let fresh = now.parameters.iter().any(|current| {
                            current.name == parameter.name
                                && matches!(current.origin, Origin::Init { .. })
                        });
                        fresh && !matches!(parameter.origin, Origin::Init { .. })
                    }
                })
                .map(|parameter| Dropped {
                    layer: old.name.clone(),
                    parameter: parameter.name.clone(),
                    shape: parameter.shape.clone(),
                    reason: what.to_string(),
                })
                .collect();
            if now.is_some() && !lost.is_empty() {
                self.expect_node_mut(old.id).added_by = Some(what.clone());
            }
            self.dropped.extend(lost);
        }
    }
}
