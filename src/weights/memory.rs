//! Tensors that a user holds.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::stored::{Open, StoredTensors};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

/// Named tensors that a user has in memory, or makes on demand.
///
/// Implemented for a `HashMap<String, Tensor>`.
pub trait TensorSource: Send + Sync {
    /// The shape of a tensor, or `None` if there is none of this name.
    fn shape(&self, key: &str) -> Option<Vec<usize>>;

    /// The tensor of this name, on any device.
    ///
    /// # Errors
    /// Whatever keeps the source from giving it.
    fn tensor(&self, key: &str) -> candle_core::Result<Tensor>;

    /// All names, for messages; empty if they can't be listed.
    fn keys(&self) -> Vec<String> {
        Vec::new()
    }
}

impl TensorSource for HashMap<String, Tensor> {
    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.get(key).map(|tensor| tensor.dims().to_vec())
    }

    fn tensor(&self, key: &str) -> candle_core::Result<Tensor> {
        match self.get(key) {
            Some(tensor) => Ok(tensor.clone()),
            None => candle_core::bail!("no tensor is named {key}"),
        }
    }

    fn keys(&self) -> Vec<String> {
        HashMap::keys(self).cloned().collect()
    }
}

/// A `VarBuilder` as a source of tensors, found by their names below its
/// prefix.
struct VarBuilderSource(candle_nn::VarBuilder<'static>);

impl TensorSource for VarBuilderSource {
    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        if !self.0.contains_tensor(key) {
            return None;
        }
        self.tensor(key).ok().map(|tensor| tensor.dims().to_vec())
    }

    fn tensor(&self, key: &str) -> candle_core::Result<Tensor> {
        self.0.get_unchecked(key)
    }
}

/// Weights in memory.
impl WeightSet {
    /// Tensors in memory, or any other [`TensorSource`].
    pub fn tensors(source: impl TensorSource + 'static) -> Self {
        let tensors = InMemory::new(Arc::new(source));
        Self::at_hand(Arc::new(Open(Arc::new(tensors))))
    }

    /// The tensors of a candle `VarBuilder`, below its prefix.
    pub fn var_builder(builder: candle_nn::VarBuilder<'static>) -> Self {
        Self::tensors(VarBuilderSource(builder))
    }
}

struct InMemory {
    tensors: Arc<dyn TensorSource>,
}

impl InMemory {
    fn new(tensors: Arc<dyn TensorSource>) -> Self {
        Self { tensors }
    }

    fn read_one(&self, key: &str) -> Result<Tensor> {
        let tensor = self.tensors.tensor(key)?;
        match tensor.dtype() {
            DType::F32 | DType::F16 | DType::BF16 | DType::F64 => {}
            other => {
                return Err(Error::TensorDtype {
                    key: key.to_string(),
                    file: self.place(),
                    dtype: other.as_str().to_string(),
                });
            }
        }
        // A copy, since the user may go on training the variable it comes from.
        let tensor = tensor.to_device(&Device::Cpu)?.copy()?;
        Ok(tensor.detach())
    }
}

impl StoredTensors for InMemory {
    fn place(&self) -> String {
        "tensors in memory".to_string()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.tensors.shape(key)
    }

    fn keys(&self) -> Vec<String> {
        self.tensors.keys()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        keys.iter().map(|key| self.read_one(key)).collect()
    }
}
