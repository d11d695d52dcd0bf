use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::layer::{Activation, Init, Layer, ParameterSpec};
use crate::shape::Shape;

use super::precision::Precision;
use super::weight_set::{WeightKey, WeightSet};

/// A handle to one node; it stays valid through every edit that keeps the
/// node, and in clones of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

impl NodeId {
    pub(crate) fn unique() -> Self {
        Self(next_unique())
    }
}

/// The name under which a model keeps a parameter's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TensorId(u64);

impl TensorId {
    pub(crate) fn unique() -> Self {
        Self(next_unique())
    }
}

fn next_unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A layer in its place: its name, its inputs, its parameters' origins.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) layer: Layer,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) shape: Shape,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) frozen: bool,
    /// Whether it belongs to the classifier that `without_top` takes off.
    pub(crate) is_top: bool,
    /// The edit that brought it, if it was not there from the start.
    pub(crate) added_by: Option<Arc<str>>,
}

impl Node {
    pub(crate) fn new(name: impl Into<String>, layer: Layer, inputs: Vec<NodeId>) -> Self {
        Self {
            id: NodeId::unique(),
            name: name.into(),
            aliases: Vec::new(),
            layer,
            inputs,
            shape: Shape::vector(0),
            parameters: Vec::new(),
            frozen: false,
            is_top: false,
            added_by: None,
        }
    }

    /// The handle.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name, unique in its graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The nodes it takes its inputs from.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The shape of its output, without the batch.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Its parameters, running statistics included.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Whether training leaves its parameters alone.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Number of values in its parameters.
    pub fn parameter_count(&self) -> u64 {
        let counts = self.parameters.iter().map(Parameter::count);
        counts.fold(0, u64::saturating_add)
    }

    /// Other names it goes by: torchvision's, timm's and Caffe's.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(|alias| alias.name.as_str())
    }

    pub(crate) fn has_activation(&self) -> bool {
        !matches!(self.layer, Layer::Activation(_)) && self.layer.activation() != Activation::Linear
    }
}

/// A name of another dialect, and which value of the node it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) part: Part,
}

/// Which part of a node a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The node with its activation.
    Whole,
    /// What the layer computes before its activation.
    Pre,
    /// The activation alone, a layer of its own in other libraries.
    Activation,
}

/// A tensor that a node needs.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) is_buffer: bool,
    pub(crate) origin: Origin,
    /// What its values were rounded to, if they were.
    pub(crate) precision: Option<Precision>,
}

impl Parameter {
    pub(crate) fn new(spec: ParameterSpec, seed: u64) -> Self {
        Self {
            name: spec.name.into_owned(),
            shape: spec.shape,
            is_buffer: spec.is_buffer,
            origin: Origin::Init {
                init: spec.init,
                seed,
            },
            precision: None,
        }
    }

    /// Notes under which name a model keeps the values.
    pub(crate) fn settle(&mut self, id: TensorId) {
        let source = match &self.origin {
            Origin::Pretrained { weights, keys } => Some(Source::of(weights, keys)),
            Origin::Init { .. } => None,
            Origin::Tensor { source, .. } => source.clone(),
        };
        self.origin = Origin::Tensor { id, source };
    }

    /// Notes that a model's own values were computed by an edit.
    pub(crate) fn derive(&mut self, edit: &str) {
        if let Origin::Tensor { source, .. } = &mut self.origin {
            let base = source.take().and_then(|source| source.base);
            *source = Some(Source {
                base,
                ..Source::derived(edit)
            });
        }
    }

    /// The name within the layer: `weight`, `bias`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether it is a running statistic, which no optimiser touches.
    pub fn is_buffer(&self) -> bool {
        self.is_buffer
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.shape
            .iter()
            .fold(1u64, |product, &side| product.saturating_mul(side as u64))
    }
}

impl Origin {
    /// Whether the values are, or were, drawn at random.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::Init { .. } | Self::Tensor { source: None, .. })
    }
}

/// Where a parameter's values come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Read from a weight set, under the first of these keys that is there.
    Pretrained {
        weights: Arc<WeightSet>,
        keys: Vec<WeightKey>,
    },
    /// Drawn when the graph is built.
    Init { init: Init, seed: u64 },
    /// Kept by the model that the graph belongs to; without a source it was
    /// drawn when the model was built.
    Tensor {
        id: TensorId,
        source: Option<Source>,
    },
}

/// Where a model's parameter came from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// In words, for reports.
    pub(crate) words: Arc<str>,
    /// Whether the words name the edit that computed the values.
    pub(crate) derived: bool,
    /// Where the values it started from can be read again, if they can.
    pub(crate) base: Option<Arc<Base>>,
}

/// A parameter of a weight set that outlives the process.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) weights: Arc<WeightSet>,
    pub(crate) keys: Vec<WeightKey>,
}

impl Source {
    pub(crate) fn of(weights: &Arc<WeightSet>, keys: &[WeightKey]) -> Self {
        let base = weights.outlives_the_process().then(|| {
            Arc::new(Base {
                weights: weights.clone(),
                keys: keys.to_vec(),
            })
        });
        Self {
            words: weights.to_string().into(),
            derived: false,
            base,
        }
    }

    /// Values that were computed from a model's own.
    pub(crate) fn derived(words: &str) -> Self {
        Self {
            words: words.into(),
            derived: true,
            base: None,
        }
    }
}
