use std::ops::{Deref, DerefMut};

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::graph::{Claim, Contract, EditContext, Graph, Node, NodeId, Parameter, TensorId};
use crate::layers::Layer;

use super::build::{BuildOptions, Tensors, assemble};
use super::core::{Model, Stored};

/// A simultaneous change of a model's graph and parameters.
pub(crate) struct Draft<'m> {
    model: &'m Model,
    graph: &'m mut EditContext,
    derived: Tensors,
}

impl Deref for Draft<'_> {
    type Target = EditContext;

    fn deref(&self) -> &EditContext {
        self.graph
    }
}

impl DerefMut for Draft<'_> {
    fn deref_mut(&mut self) -> &mut EditContext {
        self.graph
    }
}

impl Model {
    /// Runs surgery on a built model and returns the edited model. The remaining
    /// layers keep their tensors; tensors of new layers are loaded or drawn.
    ///
    /// Frozen tensors are shared between the two models, others are copied.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    /// let lighter = model.edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))?;
    /// assert_eq!(lighter.graph().len(), model.graph().len() - 1);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the edits and of [`Graph::build`].
    pub fn edit(&self, surgery: impl FnOnce(Graph) -> Result<Graph>) -> Result<Self> {
        self.edit_with(&BuildOptions::new(), surgery)
    }

    /// As [`Model::edit`], with options for loading weights. The model keeps its
    /// type.
    ///
    /// # Errors
    /// As [`Model::edit`].
    pub fn edit_with(
        &self,
        options: &BuildOptions,
        surgery: impl FnOnce(Graph) -> Result<Graph>,
    ) -> Result<Self> {
        let graph = surgery(self.graph.clone())?;
        assemble(graph, &self.device, &self.keeping(options), &self.tensors)
    }

    /// The options, with the model's type, and its limit if they have none.
    fn keeping(&self, options: &BuildOptions) -> BuildOptions {
        let mut options = options.clone().dtype(self.dtype);
        options.memory_limit = options.memory_limit.or(self.memory_limit);
        options
    }

    /// Applies a change completely or not at all, and records it.
    pub(crate) fn redraft(
        &self,
        what: &str,
        contract: Contract,
        change: impl FnOnce(&mut Draft<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut derived = self.tensors.clone();
        let (graph, claim) = (self.graph.clone(), Claim::Is(contract));
        let graph = graph.edit(what.to_string(), claim, |graph| {
            let mut draft = Draft {
                model: self,
                graph,
                derived: std::mem::take(&mut derived),
            };
            change(&mut draft)?;
            derived = draft.derived;
            Ok(())
        })?;
        let options = self.keeping(&BuildOptions::new());
        assemble(graph, &self.device, &options, &derived)
    }
}

impl Draft<'_> {
    /// A parameter's values, in f64 if the model is in f64, else in f32.
    pub(crate) fn value(&self, node: NodeId, name: &str) -> Result<Tensor> {
        let node = self.expect_node(node);
        let detached = || Error::DetachedParameter {
            layer: node.name().to_string(),
            parameter: name.to_string(),
        };
        let stored = self.stored(node.parameter(name)).ok_or_else(detached)?;
        let tensor = stored.tensor().detach();
        Ok(match tensor.dtype() {
            DType::F64 => tensor,
            _ => tensor.to_dtype(DType::F32)?,
        })
    }

    fn stored(&self, parameter: Option<&Parameter>) -> Option<&Stored> {
        self.derived.get(&parameter?.tensor()?)
    }

    pub(crate) fn dtype(&self, node: NodeId, name: &str) -> DType {
        let stored = self.stored(self.expect_node(node).parameter(name));
        stored.map_or(self.model.dtype, |stored| stored.tensor().dtype())
    }

    pub(crate) fn has(&self, node: NodeId, name: &str) -> bool {
        self.expect_node(node).parameter(name).is_some()
    }

    /// Adds parameters to a layer, or replaces them.
    pub(crate) fn set(&mut self, node: NodeId, parameters: &[(&str, Tensor)]) -> Result<()> {
        for (name, tensor) in parameters {
            let id = TensorId::unique();
            let tensor = tensor
                .to_device(&self.model.device)?
                .to_dtype(self.dtype_in_place_of(self.expect_node(node), name))?
                .contiguous()?;
            self.set_derived(node, name, tensor.dims(), id);
            self.derived.insert(id, Stored::Frozen(tensor));
        }
        Ok(())
    }

    /// The model's type, or the narrower type of a frozen dense layer's weight.
    fn dtype_in_place_of(&self, node: &Node, name: &str) -> DType {
        let is_dense = matches!(node.layer(), Layer::Dense(_)) && node.is_frozen();
        let stored = self.stored(node.parameter(name)).filter(|_| is_dense);
        stored.map_or(self.model.dtype, |stored| stored.tensor().dtype())
    }

    /// Converts a parameter to another type than the model's, if its layer
    /// supports that.
    pub(crate) fn hold_in(&mut self, node: NodeId, name: &str, dtype: DType) -> Result<()> {
        let node = self.graph.expect_node(node);
        let id = node.parameter(name).and_then(Parameter::tensor);
        if let Some(stored) = id.and_then(|id| self.derived.get_mut(&id))
            && node.is_frozen()
            && self.model.dtype == DType::F32
        {
            stored.convert(dtype)?;
        }
        Ok(())
    }

    /// Copies the parameters of a part of another model's graph. The part can
    /// then be inserted into this graph.
    pub(crate) fn adopt(&mut self, donor: &Model, part: &Graph) -> Result<()> {
        let parameters = part.nodes().flat_map(|node| node.parameters());
        for id in parameters.filter_map(Parameter::tensor) {
            let Some(stored) = donor.tensors.get(&id) else {
                continue;
            };
            let tensor = stored.tensor().detach();
            let mut tensor = tensor.to_device(&self.model.device)?;
            if donor.dtype != self.model.dtype {
                tensor = tensor.to_dtype(self.model.dtype)?;
            }
            self.derived.insert(id, Stored::Frozen(tensor.copy()?));
        }
        Ok(())
    }
}
