use std::sync::Arc;

use candle_core::{DType, Tensor, Var};

use crate::error::Result;
use crate::graph::{Graph, Node, Parameter, Select, WeightSet};

use super::core::{Model, Stored};
use super::program::Programs;

/// One parameter of a [`Model`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelParameter<'a> {
    /// The layer.
    pub layer: &'a str,
    /// The name within the layer: `weight`, `bias`.
    pub name: &'a str,
    /// The values. Those of a variable change with it; `copy()` keeps them.
    /// Frozen ones must not be written to in place, as layers may have read
    /// them once and for all.
    pub tensor: &'a Tensor,
    /// Whether an optimizer would change it.
    pub is_trainable: bool,
}

/// A parameter that holds values which are not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NonFinite {
    /// `layer.parameter`.
    pub parameter: String,
    /// How many of its values are NaN or infinite.
    pub values: usize,
}

impl Model {
    /// All parameters, running statistics included, in the order of the
    /// layers.
    pub fn parameters(&self) -> impl Iterator<Item = ModelParameter<'_>> {
        self.stored()
            .map(|(node, parameter, stored)| ModelParameter {
                layer: node.name(),
                name: parameter.name(),
                tensor: stored.tensor(),
                is_trainable: !node.is_frozen() && !parameter.is_buffer(),
            })
    }

    /// What an optimizer should change, in the order of the layers.
    pub fn trainable_variables(&self) -> Vec<Var> {
        self.stored()
            .filter_map(|(node, parameter, stored)| match stored {
                Stored::Variable(variable) if !node.is_frozen() && !parameter.is_buffer() => {
                    Some(variable.clone())
                }
                _ => None,
            })
            .collect()
    }

    fn stored(&self) -> impl Iterator<Item = (&Node, &Parameter, &Stored)> {
        self.graph.nodes().flat_map(move |node| {
            node.parameters()
                .iter()
                .map(move |parameter| (node, parameter, self.get_stored(parameter)))
        })
    }

    /// Parameters with values that are NaN or infinite: a sign of a damaged
    /// file or of training gone wrong.
    ///
    /// In what layers give, such a value of an input may spread to some pixels
    /// beyond the filter's reach, as convolutions are computed tile by tile.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the device fails.
    pub fn non_finite(&self) -> Result<Vec<NonFinite>> {
        let mut found = Vec::new();
        for parameter in self.parameters() {
            let values = parameter.tensor.flatten_all()?;
            let count = if values.dtype() == DType::F64 {
                let values = values.to_vec1::<f64>()?;
                values.iter().filter(|value| !value.is_finite()).count()
            } else {
                let values = values.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                values.iter().filter(|value| !value.is_finite()).count()
            };
            if count > 0 {
                found.push(NonFinite {
                    parameter: key_of(parameter.layer, parameter.name),
                    values: count,
                });
            }
        }
        Ok(found)
    }

    /// Freezes layers: training leaves them alone from now on. Their variables
    /// stay the model's, and are trained again after [`Model::unfreeze`].
    ///
    /// # Errors
    /// Those of the selection; the model is then as it was.
    pub fn freeze(&mut self, layers: impl Select) -> Result<()> {
        let graph = self.graph.clone().freeze(layers)?;
        self.follow_flags(graph)
    }

    /// Lets training change layers from now on. Layers that could be trained
    /// before get the variables back that they had.
    ///
    /// # Errors
    /// Those of the selection; the model is then as it was.
    pub fn unfreeze(&mut self, layers: impl Select) -> Result<()> {
        let graph = self.graph.clone().unfreeze(layers)?;
        self.follow_flags(graph)
    }

    /// Takes a graph with other flags over, and stores every parameter as its
    /// layer's flag says.
    pub(super) fn follow_flags(&mut self, graph: Graph) -> Result<()> {
        let mut tensors = self.tensors.clone();
        for node in graph.nodes() {
            for parameter in node.parameters() {
                let id = parameter.tensor();
                if let Some(stored) = id.and_then(|id| tensors.get_mut(&id)) {
                    *stored = stored.as_flagged(node.is_frozen(), self.dtype)?;
                }
            }
        }
        (self.graph, self.tensors) = (graph, tensors);
        self.workspace = Arc::default();
        self.programs = Programs::default();
        Ok(())
    }

    /// Frees the memory that is kept from pass to pass; the next one takes its
    /// own.
    pub(crate) fn free_buffers(&self) {
        self.workspace.free_buffers();
    }

    /// Every variable of layers that are not frozen, running statistics
    /// included, as `layer.parameter`, in the order of the layers.
    pub(crate) fn variables(&self) -> impl Iterator<Item = ModelVariable<'_>> {
        self.stored()
            .filter_map(|(node, parameter, stored)| match stored {
                Stored::Variable(variable) => Some(ModelVariable {
                    name: key_of(node.name(), parameter.name()),
                    node,
                    variable,
                    is_buffer: parameter.is_buffer(),
                }),
                Stored::Frozen(_) | Stored::Resting { .. } => None,
            })
    }
}

/// What a parameter is called among those of all layers.
pub(super) fn key_of(layer: &str, parameter: &str) -> String {
    format!("{layer}.{parameter}")
}

/// One variable of a layer that is not frozen.
pub(crate) struct ModelVariable<'a> {
    /// `layer.parameter`.
    pub(crate) name: String,
    pub(crate) node: &'a Node,
    pub(crate) variable: &'a Var,
    pub(crate) is_buffer: bool,
}

/// A model's tensors as a weight set, under `layer.parameter`; its
/// preprocessing and labels are included.
impl From<&Model> for WeightSet {
    fn from(model: &Model) -> Self {
        let named = model.parameters().map(|parameter| {
            let key = key_of(parameter.layer, parameter.name);
            (key, parameter.tensor.detach())
        });
        let mut weights =
            WeightSet::tensors(named.collect::<std::collections::HashMap<String, Tensor>>());
        if let Some(preprocessing) = model.graph.preprocessing() {
            weights = weights.preprocessing(preprocessing.clone());
        }
        if let Some(labels) = model.graph.labels() {
            weights = weights.labels(labels.clone());
        }
        if let Some(license) = model.graph.license() {
            weights = weights.license(license);
        }
        weights
    }
}
