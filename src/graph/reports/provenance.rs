use std::fmt;

use super::super::core::Graph;
use super::super::node::Parameter;
use super::super::origin::{Made, Origin};

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
    /// Its values are, or were, drawn when the graph is built.
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

impl Graph {
    /// Lists for each parameter whether it is kept, new, derived or dropped, and
    /// why: first the current parameters in order, then the dropped ones.
    ///
    /// ```
    /// use vgg_surgery::graph::Fate;
    /// use vgg_surgery::Vgg16;
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
                fate: self.fate(parameter),
            })
        });
        let dropped = self.operations.iter().flat_map(|entry| {
            entry.dropped_parameters.iter().map(|dropped| Provenance {
                layer: dropped.layer.clone(),
                parameter: dropped.parameter.clone(),
                shape: dropped.shape.clone(),
                fate: Fate::Dropped {
                    reason: entry.what.clone(),
                },
            })
        });
        present.chain(dropped).collect()
    }

    /// The fate of a parameter that is still there.
    pub(super) fn fate(&self, parameter: &Parameter) -> Fate {
        let edit = || self.operations.what(parameter.made_by_entry).to_string();
        match &parameter.origin {
            Origin::Pretrained { weights, .. } => Fate::Kept {
                source: weights.to_string(),
            },
            Origin::Tensor {
                made: Made::Read(source),
                ..
            } => Fate::Kept {
                source: source.words.to_string(),
            },
            Origin::Tensor {
                made: Made::Derived(_),
                ..
            } => Fate::Derived { reason: edit() },
            Origin::Tensor { .. } | Origin::Init { .. } => Fate::New {
                reason: match parameter.made_by_entry {
                    Some(_) => edit(),
                    None => format!("seed {}", self.seed),
                },
            },
        }
    }
}
