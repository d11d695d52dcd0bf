use std::collections::HashMap;
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
    /// The values. Training changes the values of a variable; `copy()` keeps
    /// them. Frozen values must not be changed in place, because layers may have
    /// cached them.
    pub tensor: &'a Tensor,
    /// Whether an optimizer would change it.
    pub is_trainable: bool,
}

/// A parameter with values that are not finite.
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

    /// All parameters with their layers and values, in the order of the layers.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&Node, &Parameter, &Stored)> {
        self.graph.nodes().flat_map(move |node| {
            node.parameters()
                .iter()
                .map(move |parameter| (node, parameter, self.get_stored(parameter)))
        })
    }

    /// The wanted parameters, by `layer.parameter`.
    pub(super) fn named_tensors(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, Tensor)> {
        let named = self.parameters().map(|parameter| {
            let key = key_of(parameter.layer, parameter.name);
            (key, parameter.tensor.detach())
        });
        named.filter(|(key, _)| wanted(key)).collect()
    }

    /// Parameters with values that are NaN or infinite, which indicate a damaged
    /// file or failed training.
    ///
    /// In the output of a layer, such a value of the input may spread to pixels
    /// beyond the receptive field, because convolutions are computed in tiles.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the device fails.
    pub fn non_finite(&self) -> Result<Vec<NonFinite>> {
        let mut found = Vec::new();
        for parameter in self.parameters() {
            let values = parameter.tensor.flatten_all()?;
            let values = if values.dtype() == DType::F64 {
                let values = values.to_vec1::<f64>()?;
                values.iter().filter(|value| !value.is_finite()).count()
            } else {
                let values = values.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                values.iter().filter(|value| !value.is_finite()).count()
            };
            if values > 0 {
                let parameter = key_of(parameter.layer, parameter.name);
                found.push(NonFinite { parameter, values });
            }
        }
        Ok(found)
    }

    /// Freezes layers: training no longer changes them. They keep their
    /// variables, and can be trained again after [`Model::unfreeze`].
    ///
    /// # Errors
    /// The errors of the selection; the model then does not change.
    pub fn freeze(&mut self, layers: impl Select) -> Result<()> {
        let graph = self.graph.clone().freeze(layers)?;
        self.follow_flags(graph)
    }

    /// Lets training change layers. Layers that could be trained before get
    /// their variables back.
    ///
    /// # Errors
    /// The errors of the selection; the model then does not change.
    pub fn unfreeze(&mut self, layers: impl Select) -> Result<()> {
        let graph = self.graph.clone().unfreeze(layers)?;
        self.follow_flags(graph)
    }

    /// Replaces the graph by one with other flags, and stores every parameter as
    /// the flag of its layer says.
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

/// The name of a parameter in the whole model.
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
        let named: HashMap<_, _> = model.named_tensors(|_| true).into_iter().collect();
        let mut weights = WeightSet::tensors(named);
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
