use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use candle_core::{DType, Device, Tensor, Var};

use crate::graph::{Graph, Parameter, TensorId};
use crate::ops::Workspace;

use super::program::Programs;

/// A graph with its tensors on a device.
///
/// Running it takes `&self`, and it is `Send` and `Sync`: threads share a model by
/// an `Arc`, without a lock. [`Model::edit`] makes a copy that differs, and
/// `clone` one that is alike: frozen tensors are shared, variables copied.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::Vgg16;
///
/// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
/// let model = graph.build(&Device::Cpu)?;
/// let x = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// assert_eq!(model.forward(&x)?.dims(), [1, 8, 8, 8]);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[must_use]
pub struct Model {
    pub(super) graph: Graph,
    pub(super) tensors: HashMap<TensorId, Stored>,
    pub(super) device: Device,
    pub(super) dtype: DType,
    /// The most bytes that the values of a pass may take.
    pub(super) memory_limit: Option<u64>,
    /// Counts the dropout masks that training has drawn.
    pub(super) masks_drawn: Arc<AtomicU64>,
    pub(super) workspace: Arc<Workspace>,
    pub(super) programs: Programs,
}

/// A parameter's values.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// Not changed by training; it may be shared between models.
    Frozen(Tensor),
    /// Changed by training: by an optimizer or, for a running statistic, by the
    /// layer.
    Variable(Var),
    /// A variable whose layer is frozen, and its values.
    Resting { variable: Var, values: Tensor },
}

impl Stored {
    pub(super) fn tensor(&self) -> &Tensor {
        match self {
            Self::Frozen(tensor) => tensor,
            Self::Variable(variable) => variable.as_tensor(),
            Self::Resting { values, .. } => values,
        }
    }

    /// The tensor that identifies the parameter: for a resting variable, the
    /// variable's tensor.
    pub(super) fn identity(&self) -> &Tensor {
        match self {
            Self::Resting { variable, .. } => variable.as_tensor(),
            other => other.tensor(),
        }
    }

    /// Freezing and unfreezing keep the variable. An optimizer's state for it
    /// stays valid.
    pub(super) fn as_flagged(&self, frozen: bool, dtype: DType) -> candle_core::Result<Self> {
        Ok(match (self, frozen) {
            (Self::Variable(variable), true) => Self::Resting {
                variable: variable.clone(),
                values: variable.as_detached_tensor(),
            },
            (Self::Resting { variable, .. }, false) => Self::Variable(variable.clone()),
            (Self::Frozen(tensor), false) => {
                Self::Variable(Var::from_tensor(&tensor.detach().to_dtype(dtype)?)?)
            }
            _ => self.clone(),
        })
    }

    /// Variables get memory of their own; frozen tensors are shared.
    fn copied(&self) -> candle_core::Result<Self> {
        let copy = |variable: &Var| Var::from_tensor(&variable.as_detached_tensor().copy()?);
        Ok(match self {
            Self::Frozen(tensor) => Self::Frozen(tensor.clone()),
            Self::Variable(variable) => Self::Variable(copy(variable)?),
            Self::Resting { variable, .. } => {
                let variable = copy(variable)?;
                Self::Resting {
                    values: variable.as_detached_tensor(),
                    variable,
                }
            }
        })
    }

    pub(super) fn convert(&mut self, dtype: DType) -> candle_core::Result<()> {
        *self = match self {
            Self::Frozen(tensor) | Self::Resting { values: tensor, .. } => {
                Self::Frozen(tensor.to_dtype(dtype)?)
            }
            Self::Variable(variable) => {
                let values = variable.as_detached_tensor().to_dtype(dtype)?;
                Self::Variable(Var::from_tensor(&values)?)
            }
        };
        Ok(())
    }
}

impl Model {
    /// The graph: what the model computes, and what is frozen.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type of the tensors.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn get_stored(&self, parameter: &Parameter) -> &Stored {
        let stored = parameter.tensor().and_then(|id| self.tensors.get(&id));
        stored.expect("building gives every parameter of the graph a tensor")
    }
}

/// Frozen tensors are shared and variables copied: training one of the models
/// does not change the other.
///
/// # Panics
/// If the device has no memory left for the variables.
impl Clone for Model {
    fn clone(&self) -> Self {
        let tensors = self.tensors.iter();
        let copied = tensors.map(|(&id, stored)| Ok((id, stored.copied()?)));
        let copied: candle_core::Result<_> = copied.collect();
        Self {
            graph: self.graph.clone(),
            tensors: copied.expect("the device has memory for the variables"),
            device: self.device.clone(),
            dtype: self.dtype,
            memory_limit: self.memory_limit,
            masks_drawn: Arc::new(AtomicU64::new(self.masks_drawn())),
            workspace: Arc::default(),
            programs: Programs::default(),
        }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("graph", &self.graph.name())
            .field("layers", &self.graph.len())
            .field("parameters", &self.graph.parameter_count())
            .field("device", &self.device)
            .field("dtype", &self.dtype)
            .finish()
    }
}
