use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::Error;
use crate::layers::Layer;
use crate::preprocess::{Labels, Preprocessing};
use crate::shape::Shape;

use super::ledger::Operations;
use super::node::{Node, NodeId, Parameter};
use super::origin::parameter_seed;

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
#[must_use]
pub struct Graph {
    pub(super) name: String,
    /// In an order in which every node comes after its inputs.
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) outputs: Vec<NodeId>,
    pub(super) seed: u64,
    pub(super) preprocessing: Option<Preprocessing>,
    /// The labels, and the node whose channels they name.
    pub(super) labels: Option<(NodeId, Labels)>,
    pub(super) license: Option<String>,
    pub(super) operations: Operations,
    pub(super) notes: BTreeMap<String, Value>,
}

impl Graph {
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

    /// The nodes whose values the network returns.
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The names of the nodes whose values the network returns.
    pub fn output_names(&self) -> Vec<&str> {
        let outputs = self.outputs.iter();
        outputs.map(|&id| self.expect_node(id).name()).collect()
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

    /// The preprocessing that belongs to the weights, at its own size.
    /// [`Graph::input_preprocessing`] is the one to use: it has this network's size.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Sets the preprocessing that belongs to the weights.
    pub fn with_preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// The license of the pretrained weights, as an SPDX identifier.
    pub fn license(&self) -> Option<&str> {
        self.license.as_deref()
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

    /// The edits that made the graph: the contract of each, and how many values it
    /// kept, derived, drew and dropped. Training is no edit: a `History` reports
    /// it, and is stored with the model.
    ///
    /// ```
    /// use vgg_surgery::graph::Contract;
    /// use vgg_surgery::{Dense, Head, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .truncate("block2_pool")?
    ///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(10)))?;
    /// println!("{}", graph.operations());
    /// let (cut, head) = (&graph.operations()[0], &graph.operations()[1]);
    /// assert_eq!((cut.contract, cut.kept), (Contract::Exact, 260_160));
    /// assert_eq!((head.contract, head.new), (Contract::Reinitializing, 1_290));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The seeds of a layer's dropout masks, by their number.
    pub(crate) fn mask_seeds(&self, layer: &str) -> impl Fn(u64) -> u64 + use<> {
        let (seed, layer) = (self.seed, layer.to_string());
        move |mask| parameter_seed(seed, &layer, &format!("mask {mask}"))
    }

    pub(crate) fn find(&self, id: NodeId) -> Option<&Node> {
        self.nodes().find(|node| node.id == id)
    }

    /// The node of this name, in no other dialect.
    pub(crate) fn named(&self, name: &str) -> Option<&Node> {
        self.nodes().find(|node| node.name == name)
    }

    pub(crate) fn position(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// A node that edges or outputs of this graph name.
    pub(crate) fn expect_node(&self, id: NodeId) -> &Node {
        self.find(id)
            .expect("edges and outputs name nodes of their own graph")
    }

    pub(crate) fn illegal(&self, id: NodeId, reason: &str) -> Error {
        illegal(&self.expect_node(id).name, reason)
    }
}

pub(super) fn illegal(layer: &str, reason: &str) -> Error {
    Error::IllegalEdit {
        layer: layer.to_string(),
        reason: reason.to_string(),
    }
}

/// Its name and size; [`Graph::summary`] has more.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("name", &self.name)
            .field("layers", &self.len())
            .field("parameters", &self.parameter_count())
            .finish_non_exhaustive()
    }
}
