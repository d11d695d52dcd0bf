use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::layers::{Activation, Layer, ParameterSpec};
use crate::shape::Shape;

use super::origin::{Base, Found, Made, Origin, Precision, Source, TensorId, next_unique};
use super::weight_key::WeightKey;
use super::weight_set::WeightSet;

/// A handle to one node; it stays valid through every edit that keeps the
/// node, and in clones of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

impl NodeId {
    pub(crate) fn unique() -> Self {
        Self(next_unique())
    }
}

/// A layer in its place: its name, its inputs, its parameters' origins.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) aliases: Vec<Alias>,
    pub(super) layer: Layer,
    pub(super) inputs: Vec<NodeId>,
    pub(super) shape: Shape,
    pub(super) parameters: Vec<Parameter>,
    pub(super) frozen: bool,
    /// Whether it belongs to the classifier that `without_top` takes off.
    pub(super) is_top: bool,
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

    /// The other names it goes by, and which of its values each means.
    pub(crate) fn named_parts(&self) -> &[Alias] {
        &self.aliases
    }

    pub(crate) fn is_top(&self) -> bool {
        self.is_top
    }

    /// Other names it goes by: torchvision's, timm's and Caffe's.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(|alias| alias.name.as_str())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        let mut parameters = self.parameters.iter();
        parameters.find(|parameter| parameter.name == name)
    }

    /// The activation that it applies to what its layer computes; an
    /// activation layer has none.
    pub(crate) fn own_activation(&self) -> Activation {
        match self.layer.rules().passes_input_on() {
            true => Activation::Linear,
            false => self.layer.activation(),
        }
    }

    pub(crate) fn has_activation(&self) -> bool {
        self.own_activation() != Activation::Linear
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
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) is_buffer: bool,
    pub(super) origin: Origin,
    /// What its values were rounded to, if they were.
    pub(super) precision: Option<Precision>,
    /// The entry of the ledger whose edit drew or derived its values.
    pub(super) made_by_entry: Option<usize>,
}

impl Parameter {
    /// One to be drawn. One of its name that was to be drawn before keeps the
    /// edit that asked for it.
    pub(super) fn drawn(spec: ParameterSpec, seed: u64, old: Option<&Self>) -> Self {
        let was_drawn = |old: &&Self| matches!(old.origin, Origin::Init { .. });
        Self {
            name: spec.name.into_owned(),
            shape: spec.shape,
            is_buffer: spec.is_buffer,
            origin: Origin::Init {
                init: spec.init,
                seed,
            },
            precision: None,
            made_by_entry: old.filter(was_drawn).and_then(|old| old.made_by_entry),
        }
    }

    /// Sets the seed, if it is still to be drawn.
    pub(super) fn reseed(&mut self, seed: u64) {
        if let Origin::Init { seed: drawn, .. } = &mut self.origin {
            *drawn = seed;
        }
    }

    pub(crate) fn set_origin(&mut self, origin: Origin, precision: Option<Precision>) {
        (self.origin, self.precision) = (origin, precision);
    }

    /// Takes the values from a weight set when the graph is built.
    pub(crate) fn set_weights(&mut self, weights: &Arc<WeightSet>, keys: Vec<WeightKey>) {
        let otherwise = weights.is_partial().then(|| Box::new(self.origin.clone()));
        self.origin = Origin::Pretrained {
            weights: weights.clone(),
            keys,
            otherwise,
        };
        self.precision = None;
    }

    /// Keeps the values that it would have without its weight set, which lacks
    /// it.
    pub(crate) fn set_otherwise(&mut self) {
        if let Origin::Pretrained { otherwise, .. } = &mut self.origin
            && let Some(otherwise) = otherwise.take()
        {
            self.origin = *otherwise;
        }
    }

    /// The names that the values have in the weights they come from.
    pub(crate) fn known_keys(&self) -> &[WeightKey] {
        match &self.origin {
            Origin::Pretrained { keys, .. } => keys,
            _ => self.base().map_or(&[], |base| &base.keys),
        }
    }

    pub(crate) fn set_made(&mut self, now: Made, entry: Option<usize>) {
        if let Origin::Tensor { made, .. } = &mut self.origin {
            (*made, self.made_by_entry) = (now, entry);
        }
    }

    /// Values that an edit computes, in the place of a parameter's own.
    pub(crate) fn derived(name: &str, shape: &[usize], id: TensorId, old: Option<&Self>) -> Self {
        Self {
            name: name.to_string(),
            shape: shape.to_vec(),
            is_buffer: old.is_some_and(|old| old.is_buffer),
            origin: Origin::Tensor {
                id,
                made: Made::Derived(None),
            },
            precision: None,
            made_by_entry: None,
        }
    }

    /// Notes under which name a model keeps the values, and where they were
    /// read, if they were.
    pub(crate) fn settle(&mut self, id: TensorId, read: Option<(Arc<WeightSet>, Found)>) {
        let made = match (&self.origin, read) {
            (Origin::Pretrained { keys, .. }, Some((weights, found))) => {
                Made::Read(Source::of(&weights, keys, found))
            }
            (Origin::Tensor { made, .. }, _) => made.clone(),
            _ => Made::Drawn,
        };
        self.origin = Origin::Tensor { id, made };
    }

    /// Notes that an edit, an entry of the ledger, computed a model's values.
    pub(super) fn derive(&mut self, entry: usize) {
        let base = self.base().cloned();
        if let Origin::Tensor { made, .. } = &mut self.origin {
            *made = Made::Derived(base);
            self.made_by_entry = Some(entry);
        }
    }

    /// Where the values, or those that they were computed from, can be read
    /// again.
    pub(crate) fn base(&self) -> Option<&Arc<Base>> {
        match &self.origin {
            Origin::Tensor { made, .. } => match made {
                Made::Read(source) => source.base.as_ref(),
                Made::Derived(base) => base.as_ref(),
                Made::Drawn => None,
            },
            _ => None,
        }
    }

    /// The name under which a model keeps the values, if one does.
    pub(crate) fn tensor(&self) -> Option<TensorId> {
        match self.origin {
            Origin::Tensor { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether the values are, or were, drawn at random.
    pub(crate) fn is_new(&self) -> bool {
        match &self.origin {
            Origin::Init { .. } => true,
            Origin::Tensor { made, .. } => matches!(made, Made::Drawn),
            Origin::Pretrained { .. } => false,
        }
    }

    /// Whether an edit computed the values.
    pub(crate) fn is_derived(&self) -> bool {
        let Origin::Tensor { made, .. } = &self.origin else {
            return false;
        };
        matches!(made, Made::Derived(_))
    }

    /// The name within the layer: `weight`, `bias`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether it is a running statistic, which no optimizer touches.
    pub fn is_buffer(&self) -> bool {
        self.is_buffer
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn precision(&self) -> Option<Precision> {
        self.precision
    }

    pub(crate) fn made_by_entry(&self) -> Option<usize> {
        self.made_by_entry
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.shape
            .iter()
            .fold(1u64, |product, &side| product.saturating_mul(side as u64))
    }
}
