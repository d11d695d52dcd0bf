use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::graph::{Claim, Contract, Graph, Node, NodeId, Origin, Parameter, Source, TensorId};
use crate::layer::Layer;

use super::build::{BuildOptions, Tensors, assemble};
use super::core::{Model, Stored};

/// A change of a model's graph and of its parameters' values at once.
pub(crate) struct Draft<'m> {
    model: &'m Model,
    /// What the derived values are said to come from.
    source: Source,
    derived: Tensors,
    error: Option<f64>,
}

impl Model {
    /// Applies a change as a whole or not at all, and records it.
    pub(crate) fn redraft(
        &self,
        what: &str,
        contract: Contract,
        change: impl FnOnce(&mut Graph, &mut Draft<'_>) -> Result<()>,
    ) -> Result<Self> {
        let mut draft = Draft {
            model: self,
            source: Source::derived(what),
            derived: self.tensors.clone(),
            error: None,
        };
        let claim = Claim::Is(contract);
        let mut graph = self
            .graph
            .clone()
            .edit_claiming(what.to_string(), claim, |graph| change(graph, &mut draft))?;
        graph.set_operation_error(draft.error);
        let options = BuildOptions::new().dtype(self.dtype);
        assemble(graph, &self.device, &options, &draft.derived)
    }
}

impl Draft<'_> {
    /// A parameter's values, in f64 if that is the model's type, else in f32.
    pub(crate) fn value(&self, graph: &Graph, node: NodeId, name: &str) -> Result<Tensor> {
        let node = graph.expect_node(node);
        let detached = || Error::DetachedParameter {
            layer: node.name.clone(),
            parameter: name.to_string(),
        };
        let parameter = node.parameters.iter().find(|p| p.name == name);
        let stored = self.stored(parameter);
        let tensor = stored.ok_or_else(detached)?.tensor().detach();
        Ok(match tensor.dtype() {
            DType::F64 => tensor,
            _ => tensor.to_dtype(DType::F32)?,
        })
    }

    fn stored(&self, parameter: Option<&Parameter>) -> Option<&Stored> {
        match &parameter?.origin {
            Origin::Tensor { id, .. } => self.derived.get(id),
            _ => None,
        }
    }

    /// The type that a parameter is held in.
    pub(crate) fn dtype(&self, graph: &Graph, node: NodeId, name: &str) -> DType {
        let parameters = &graph.expect_node(node).parameters;
        let stored = self.stored(parameters.iter().find(|p| p.name == name));
        stored.map_or(self.model.dtype, |stored| stored.tensor().dtype())
    }

    /// Whether a layer has a parameter.
    pub(crate) fn has(&self, graph: &Graph, node: NodeId, name: &str) -> bool {
        let parameters = &graph.expect_node(node).parameters;
        parameters.iter().any(|parameter| parameter.name == name)
    }

    /// Gives a layer these parameters, behind or in the place of those it has.
    pub(crate) fn set(
        &mut self,
        graph: &mut Graph,
        node: NodeId,
        parameters: &[(&str, Tensor)],
    ) -> Result<()> {
        for (name, tensor) in parameters {
            let id = TensorId::unique();
            let node = graph.expect_node_mut(node);
            let known = node.parameters.iter().position(|p| p.name == *name);
            let before = known.map(|known| &node.parameters[known]);
            let tensor = tensor
                .to_device(&self.model.device)?
                .to_dtype(self.dtype_in_place_of(node, before))?
                .contiguous()?;
            let derived = Parameter {
                name: (*name).to_string(),
                shape: tensor.dims().to_vec(),
                is_buffer: known.is_some_and(|known| node.parameters[known].is_buffer),
                origin: Origin::Tensor {
                    id,
                    source: Some(self.source.clone()),
                },
                precision: None,
            };
            match known {
                Some(known) => node.parameters[known] = derived,
                None => node.parameters.push(derived),
            }
            self.derived.insert(id, Stored::Frozen(tensor));
        }
        Ok(())
    }

    /// The model's type, or the narrower one in which the weight of a frozen
    /// dense layer was held.
    fn dtype_in_place_of(&self, node: &Node, before: Option<&Parameter>) -> DType {
        let is_dense = matches!(node.layer, Layer::Dense(_)) && node.frozen;
        let stored = self.stored(before).filter(|_| is_dense);
        stored.map_or(self.model.dtype, |stored| stored.tensor().dtype())
    }

    /// Holds a parameter in a type of its own, where its layer can.
    pub(crate) fn hold_in(
        &mut self,
        graph: &Graph,
        node: NodeId,
        name: &str,
        dtype: DType,
    ) -> Result<()> {
        let node = graph.expect_node(node);
        let parameter = node.parameters.iter().find(|p| p.name == name);
        if let Some(Origin::Tensor { id, .. }) = parameter.map(|p| &p.origin)
            && let Some(stored) = self.derived.get_mut(id)
            && node.frozen
            && self.model.dtype == DType::F32
        {
            stored.convert(dtype)?;
        }
        Ok(())
    }

    /// Makes another model's parameters known as far as a part of its graph
    /// has them, so that the part may be put into this one.
    pub(crate) fn adopt(&mut self, donor: &Model, part: &Graph) -> Result<()> {
        let parameters = part.nodes().flat_map(|node| node.parameters());
        let ids = parameters.filter_map(|parameter| match parameter.origin {
            Origin::Tensor { id, .. } => Some(id),
            _ => None,
        });
        for id in ids {
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

    /// Notes how far derived weights are from those before, as a share of
    /// their norm.
    pub(crate) fn set_error(&mut self, error: f64) {
        self.error = Some(error);
    }
}
