use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::model::{Model, ModelVariable};

/// Copies of a model's variables, running statistics included.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    tensors: BTreeMap<String, Tensor>,
}

impl Snapshot {
    pub(super) fn of(model: &Model) -> Result<Self> {
        Self::copy(model.variables())
    }

    /// The running statistics of batch norms that learn.
    pub(super) fn of_statistics(model: &Model) -> Result<Self> {
        Self::copy(
            model
                .variables()
                .filter(|variable| variable.is_buffer && !variable.node.is_frozen()),
        )
    }

    fn copy<'a>(variables: impl Iterator<Item = ModelVariable<'a>>) -> Result<Self> {
        let tensors =
            variables.map(|variable| Ok((variable.name, variable.variable.copy()?.detach())));
        Ok(Self {
            tensors: tensors.collect::<Result<_>>()?,
        })
    }

    pub(super) fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Whether it holds a value for each of the model's variables, and no others.
    pub(super) fn fits(&self, model: &Model) -> bool {
        let mut count = 0;
        let all = model.variables().all(|variable| {
            count += 1;
            let tensor = self.tensors.get(&variable.name);
            tensor.is_some_and(|tensor| tensor.dims() == variable.variable.dims())
        });
        all && count == self.tensors.len()
    }

    pub(super) fn restore(&self, model: &Model) -> Result<()> {
        for variable in model.variables() {
            if let Some(tensor) = self.tensors.get(&variable.name) {
                let own = variable.variable;
                own.set(&tensor.to_device(own.device())?.to_dtype(own.dtype())?)?;
            }
        }
        Ok(())
    }

    pub(super) fn on_cpu(&self) -> Result<BTreeMap<String, Tensor>> {
        let tensors = self.tensors.iter();
        tensors
            .map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?)))
            .collect()
    }
}

impl From<BTreeMap<String, Tensor>> for Snapshot {
    fn from(tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors }
    }
}
