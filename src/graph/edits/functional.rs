use crate::error::{Error, Result};
use crate::layers::{Layer, Upsample, UpsampleSize};

use super::super::core::Graph;
use super::super::node::NodeId;
use super::super::select::NodeRef;

/// A layer for [`Graph::add`], with the inputs it brings along.
#[derive(Clone, Debug)]
pub struct LayerCall {
    layer: Layer,
    further_inputs: Vec<NodeId>,
}

impl<L: Into<Layer>> From<L> for LayerCall {
    fn from(layer: L) -> Self {
        Self {
            layer: layer.into(),
            further_inputs: Vec::new(),
        }
    }
}

impl Upsample {
    /// To the size of another node's map, nearest values; for [`Graph::add`].
    pub fn to(node: NodeId) -> LayerCall {
        Self::like().sized_by(node)
    }

    /// Takes its size from another node's map; for [`Graph::add`].
    pub fn sized_by(mut self, node: NodeId) -> LayerCall {
        self.size = UpsampleSize::Like;
        LayerCall {
            layer: self.into(),
            further_inputs: vec![node],
        }
    }
}

impl Graph {
    /// Adds a node that takes the values of these nodes, given by name or by
    /// handle, and returns its handle. It is kept by the next edit only if an
    /// output depends on it: see [`Graph::with_outputs`].
    ///
    /// ```
    /// use vgg_surgery::layers::{Concat, Upsample};
    /// use vgg_surgery::Vgg16;
    ///
    /// let mut graph = Vgg16::pretrained().without_top()?;
    /// let size = graph.node_id("block3_pool")?;
    /// graph.add("up", Upsample::to(size), ["block5_pool"])?;
    /// graph.add("join", Concat::channels(), ["block3_pool", "up"])?;
    /// let graph = graph.with_outputs(["join"])?;
    /// assert_eq!(graph.output_shapes()[0].channels(), 768);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::AmbiguousName`],
    /// [`Error::UnknownNode`], [`Error::IllegalEdit`] for a name that means the
    /// value before an activation; [`Error::DuplicateName`],
    /// [`Error::InvalidName`], [`Error::InputCount`] and the shape errors of
    /// the layer. The graph is left as it was.
    pub fn add<R: NodeRef>(
        &mut self,
        name: impl Into<String>,
        call: impl Into<LayerCall>,
        inputs: impl IntoIterator<Item = R>,
    ) -> Result<NodeId> {
        let LayerCall {
            layer,
            further_inputs,
        } = call.into();
        let mut ids = Vec::new();
        for input in inputs {
            ids.push(self.whole(input)?);
        }
        let inputs = [ids, further_inputs].concat();
        if inputs.iter().any(|&input| self.find(input).is_none()) {
            return Err(Error::UnknownNode);
        }
        self.grow(name.into(), layer, inputs)
    }
}
