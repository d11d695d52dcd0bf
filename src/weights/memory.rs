//! Tensors of the user.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::convert::check_weight_dtype;
use super::stored::{Open, StoredTensors};
use crate::error::Result;
use crate::graph::WeightSet;

/// Named tensors in memory, or made on demand.
///
/// Implemented for a `HashMap<String, Tensor>`.
pub trait TensorSource: Send + Sync {
    /// The shape of a tensor, or `None` if there is none of this name.
    fn shape(&self, key: &str) -> Option<Vec<usize>>;

    /// The tensor of this name, on any device.
    ///
    /// # Errors
    /// Any error of the source.
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
        let tensor = self.0.contains_tensor(key).then(|| self.tensor(key));
        Some(tensor?.ok()?.dims().to_vec())
    }

    fn tensor(&self, key: &str) -> candle_core::Result<Tensor> {
        self.0.get_unchecked(key)
    }
}

/// Weights in memory.
impl WeightSet {
    /// Tensors in memory, or any other [`TensorSource`].
    pub fn tensors(source: impl TensorSource + 'static) -> Self {
        Self::at_hand(Arc::new(Open(Arc::new(InMemory(source)))))
    }

    /// The tensors of a candle `VarBuilder`, below its prefix.
    pub fn var_builder(builder: candle_nn::VarBuilder<'static>) -> Self {
        Self::tensors(VarBuilderSource(builder))
    }
}

struct InMemory<S>(S);

impl<S: TensorSource> StoredTensors for InMemory<S> {
    fn place(&self) -> String {
        "tensors in memory".to_string()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.0.shape(key)
    }

    fn keys(&self) -> Vec<String> {
        self.0.keys()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let read = |&key: &&str| {
            let tensor = self.0.tensor(key)?;
            check_weight_dtype(key, &self.place(), tensor.dtype())?;
            // A copy, because the user may continue to train the variable.
            Ok(tensor.to_device(&Device::Cpu)?.copy()?.detach())
        };
        keys.iter().map(read).collect()
    }
}
