use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::layer::{Input, Layer, LayerKind};
use crate::preprocess::{Labels, Preprocessing};
use crate::shape::Shape;

use super::node::{Node, NodeId, Origin, Parameter};
use super::operations::{Claim, Operations};
use super::precision::Precision;
use super::provenance::Dropped;
use super::select::NodeRef;

/// A network as a value: its layers, their shapes, where every parameter comes
/// from, and what is frozen. It holds no tensors and does no I/O, and is cheap
/// to clone.
///
/// An edit consumes the graph and returns a checked one, or an error; clone it
/// first to keep the old one.
///
/// ```
/// use vgg_surgery::{Conv2d, Vgg16};
///
/// let graph = Vgg16::pretrained().truncate("block2_pool")?;
/// let conv: &Conv2d = graph.layer("block2_conv1")?;
/// assert_eq!(conv.out_channels, 128);
/// assert_eq!(graph.parameter_count(), 260_160);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone)]
pub struct Graph {
    pub(crate) name: String,
    /// In an order in which every node comes after its inputs.
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) outputs: Vec<NodeId>,
    pub(crate) seed: u64,
    pub(crate) preprocessing: Option<Preprocessing>,
    /// The labels, and the node whose channels they name.
    pub(crate) labels: Option<(NodeId, Labels)>,
    pub(crate) licence: Option<String>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) operations: Operations,
    pub(crate) notes: BTreeMap<String, Value>,
}

impl Graph {
    /// A graph that is nothing but an input of this shape, `(C, H, W)`, to be
    /// built upon with [`Graph::attach`] and [`Graph::add`].
    ///
    /// # Errors
    /// [`Error::InvalidLayer`] if a size is 0 or absurd.
    pub fn new(name: impl Into<String>, input: impl Into<Shape>) -> Result<Self> {
        let input = Node::new("input", Input::new(input).into(), Vec::new());
        let mut graph = Self {
            name: name.into(),
            outputs: vec![input.id],
            nodes: vec![Arc::new(input)],
            seed: 0,
            preprocessing: None,
            labels: None,
            licence: None,
            dropped: Vec::new(),
            operations: Operations::default(),
            notes: BTreeMap::new(),
        };
        graph.infer()?;
        Ok(graph)
    }

    /// A chain of layers behind an input, all there from the start.
    pub(crate) fn chain_of(
        name: &str,
        input: Shape,
        layers: impl IntoIterator<Item = (String, Layer)>,
        seed: u64,
    ) -> Result<Self> {
        let mut graph = Self::new(name, input)?;
        graph.seed = seed;
        for (name, layer) in layers {
            let node = Node::new(name, layer, graph.outputs.clone());
            graph.outputs = vec![node.id];
            graph.nodes.push(Arc::new(node));
        }
        graph.infer()?;
        Ok(graph)
    }

    /// The node at an index below `len()`.
    pub(crate) fn node_mut_at(&mut self, index: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[index])
    }

    /// The network's name: `"vgg16"`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The nodes, each after its inputs.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + DoubleEndedIterator {
        self.nodes.iter().map(Arc::as_ref)
    }

    /// Number of nodes, the input included, as Keras counts layers.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes; no graph is empty.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes whose values the network gives.
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The shape that the network takes, without the batch.
    pub fn input_shape(&self) -> Shape {
        self.nodes()
            .find_map(|node| match node.layer() {
                Layer::Input(input) => Some(input.shape),
                _ => None,
            })
            .expect("every graph is made with an input, and no edit removes it")
    }

    /// The shape of each output, without the batch.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.outputs
            .iter()
            .map(|&id| self.expect_node(id).shape)
            .collect()
    }

    /// The layer of this name, as the kind that is asked for. Names of any
    /// dialect will do.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] with the nearest names, [`Error::AmbiguousName`],
    /// or [`Error::WrongKind`] if the layer is of another kind.
    pub fn layer<L: LayerKind>(&self, name: &str) -> Result<&L> {
        let node = self.get(name)?;
        L::from_layer(node.layer()).ok_or_else(|| Error::WrongKind {
            layer: node.name.clone(),
            expected: L::KIND,
            actual: node.layer().kind().to_string(),
        })
    }

    /// The node of this name, in any dialect, or with this handle.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::AmbiguousName`] or
    /// [`Error::UnknownNode`].
    pub fn get(&self, node: impl NodeRef) -> Result<&Node> {
        let pick = node.pick(self)?;
        self.find(pick.id).ok_or(Error::UnknownNode)
    }

    /// The handle of the node of this name, for [`Graph::add`].
    ///
    /// # Errors
    /// As [`Graph::get`]. A name that means the value before an activation is
    /// [`Error::IllegalEdit`]: it has no node of its own.
    pub fn node(&self, name: &str) -> Result<NodeId> {
        let pick = name.pick(self)?;
        let node = self.get(name)?;
        if pick.means_pre(node) {
            return Err(Error::IllegalEdit {
                layer: node.name.clone(),
                reason: format!(
                    "\"{name}\" is the value before its activation, which has no node; set the \
                     layer's activation to linear with replace, or use insert_after(\"{name}\", ..)"
                ),
            });
        }
        Ok(pick.id)
    }

    /// Number of values in all parameters, running statistics included.
    pub fn parameter_count(&self) -> u64 {
        let counts = self.nodes().map(Node::parameter_count);
        counts.fold(0, u64::saturating_add)
    }

    /// Number of values that training would change.
    pub fn trainable_count(&self) -> u64 {
        self.nodes()
            .filter(|node| !node.frozen)
            .flat_map(Node::parameters)
            .filter(|parameter| !parameter.is_buffer)
            .map(Parameter::count)
            .fold(0, u64::saturating_add)
    }

    /// The preprocessing that belongs to the weights.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Sets the preprocessing that belongs to the weights.
    pub fn with_preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// The names of the classes, as long as the layer they belong to is the
    /// output, or feeds it through activations alone.
    pub fn labels(&self) -> Option<&Labels> {
        let (labeled, labels) = self.labels.as_ref()?;
        let keeps = |node: &&Node| {
            let layer = node.layer();
            node.id != *labeled && matches!(layer, Layer::Activation(_) | Layer::Dropout(_))
        };
        let last = self
            .path_to(*self.outputs.first()?)
            .find(|node| !keeps(node))?;
        (last.id == *labeled).then_some(labels)
    }

    /// Names the channels of the first output.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless there is a label for each.
    pub fn with_labels(mut self, labels: Labels) -> Result<Self> {
        let output = self.expect_node(self.outputs[0]);
        let classes = output.shape.channels();
        if labels.len() != classes {
            return Err(Error::Unsupported {
                what: "take these labels",
                reason: format!(
                    "there are {} for the {classes} classes of \"{}\"",
                    labels.len(),
                    output.name
                ),
            });
        }
        self.labels = Some((output.id, labels));
        Ok(self)
    }

    /// The licence of the pretrained weights, as an SPDX identifier.
    pub fn licence(&self) -> Option<&str> {
        self.licence.as_deref()
    }

    /// Draws all new parameters anew from this seed, now and in later edits.
    pub fn seed(mut self, seed: u64) -> Self {
        let before = self.snapshot();
        self.seed = seed;
        for node in &mut self.nodes {
            let node = Arc::make_mut(node);
            for parameter in &mut node.parameters {
                if let Origin::Init { seed: drawn, .. } = &mut parameter.origin {
                    *drawn = parameter_seed(seed, &node.name, &parameter.name);
                }
            }
        }
        self.note_operation(&format!("seed({seed})"), &before, Claim::Found);
        self
    }

    /// Keeps a value under a name with the network, into files and out of
    /// them: a training history, remarks. It means nothing to this crate.
    pub fn with_note(mut self, name: impl Into<String>, value: Value) -> Self {
        self.notes.insert(name.into(), value);
        self
    }

    /// The value kept under a name.
    pub fn note(&self, name: &str) -> Option<&Value> {
        self.notes.get(name)
    }

    /// The seeds of a layer's dropout masks, by their number.
    pub(crate) fn mask_seeds(&self, layer: &str) -> impl Fn(u64) -> u64 + use<> {
        let (seed, layer) = (self.seed, layer.to_string());
        move |mask| parameter_seed(seed, &layer, &format!("mask {mask}"))
    }

    pub(crate) fn find(&self, id: NodeId) -> Option<&Node> {
        self.nodes().find(|node| node.id == id)
    }

    /// Lets labels follow when one node takes over another's value.
    pub(crate) fn move_labels(&mut self, from: NodeId, to: NodeId) {
        if let Some((labelled, _)) = &mut self.labels
            && *labelled == from
        {
            *labelled = to;
        }
    }

    /// Drops labels whose layer is gone or has become one of other channels.
    pub(crate) fn drop_stale_labels(&mut self) {
        let stale = |(id, labels): &(NodeId, Labels)| {
            let node = self.find(*id);
            node.is_none_or(|node| node.shape.channels() != labels.len())
        };
        if self.labels.as_ref().is_some_and(stale) {
            self.labels = None;
        }
    }

    /// Notes what a parameter's values were rounded to.
    pub(crate) fn set_precision(&mut self, node: NodeId, name: &str, precision: Precision) {
        let parameters = &mut self.expect_node_mut(node).parameters;
        if let Some(parameter) = parameters.iter_mut().find(|p| p.name == name) {
            parameter.precision = Some(precision);
        }
    }

    pub(crate) fn position(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// A node that edges or outputs of this graph name.
    pub(crate) fn expect_node(&self, id: NodeId) -> &Node {
        self.find(id)
            .expect("edges and outputs name nodes of their own graph")
    }

    pub(crate) fn expect_node_mut(&mut self, id: NodeId) -> &mut Node {
        let node = self
            .nodes
            .iter_mut()
            .find(|node| node.id == id)
            .expect("edges and outputs name nodes of their own graph");
        Arc::make_mut(node)
    }
}

/// Its name and size; [`Graph::summary`] tells more.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("name", &self.name)
            .field("layers", &self.len())
            .field("parameters", &self.parameter_count())
            .finish_non_exhaustive()
    }
}

/// A seed of its own for every parameter, so that what one layer draws does
/// not depend on the layers around it: FNV-1a over seed and names.
pub(crate) fn parameter_seed(seed: u64, layer: &str, parameter: &str) -> u64 {
    let bytes = seed.to_le_bytes();
    let text = [layer.as_bytes(), &[0], parameter.as_bytes()].concat();
    bytes
        .iter()
        .chain(&text)
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
