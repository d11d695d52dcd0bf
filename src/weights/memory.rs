//! Tensors that a user holds.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::graph::{StoredTensors, TensorSource};

pub(super) struct InMemory {
    tensors: Arc<dyn TensorSource>,
}

impl InMemory {
    pub(super) fn new(tensors: Arc<dyn TensorSource>) -> Self {
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
