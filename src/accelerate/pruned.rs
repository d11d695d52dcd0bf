//! Networks with fewer channels.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::graph::{Contract, NodeId};
use crate::model::Model;

use super::closed_form::Studied;
use super::units::{Unit, plain_conv};

/// The units of a network, and the number of channels that each keeps.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) units: &'a [Unit],
    pub(super) studied: &'a [Studied],
    pub(super) widths: &'a [usize],
}

impl Choice<'_> {
    /// The channels that a layer keeps; `None` for all.
    pub(super) fn kept(&self, layer: NodeId) -> Option<Vec<u32>> {
        let unit = self.units.iter().position(|unit| unit.layer == layer)?;
        let width = self.widths[unit];
        (width < self.units[unit].channels).then(|| self.studied[unit].curve.kept(width))
    }

    /// The network with these channels alone; its filters are as they were.
    pub(super) fn prune(&self, old: &Model) -> Result<Model> {
        let mut model = old.clone();
        for unit in self.units {
            if let Some(kept) = self.kept(unit.layer) {
                let name = old.graph().expect_node(unit.layer).name();
                let what = format!(
                    "accelerate: {} of {} channels of \"{name}\"",
                    kept.len(),
                    unit.channels
                );
                model = model.keep_filters(&what, unit.layer, &kept, &[])?;
            }
        }
        Ok(model)
    }
}

/// Filters as the layer has them: its weight, and its bias if it has one.
pub(super) struct Fitted {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Fitted {
    /// From `(outputs, n)`, with the biases in the last column.
    pub(super) fn of(filters: &Tensor, model: &Model, layer: NodeId) -> Result<Self> {
        let node = model.graph().expect_node(layer);
        let conv = plain_conv(node);
        let (height, width) = conv.map_or((1, 1), |conv| conv.kernel_size);
        let has_bias = conv.is_some_and(|conv| conv.bias);
        let (outputs, columns) = filters.dims2()?;
        let weights = columns - usize::from(has_bias);
        let weight = filters.narrow(1, 0, weights)?.contiguous()?;
        let bias = match has_bias {
            true => Some(filters.narrow(1, weights, 1)?.flatten_all()?),
            false => None,
        };
        Ok(Self {
            weight: weight.reshape((outputs, (), height, width))?,
            bias,
        })
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        let weight = std::iter::once(("weight", &self.weight));
        weight.chain(self.bias.iter().map(|bias| ("bias", bias)))
    }

    /// Sets the variables of a layer.
    pub(super) fn set(&self, model: &Model, layer: NodeId) -> Result<()> {
        let variables = model.variables();
        for found in variables.filter(|found| found.node.id() == layer) {
            let mut parameters = self.parameters();
            let own = parameters.find(|(name, _)| found.name.ends_with(&format!(".{name}")));
            if let Some((_, values)) = own {
                let variable = found.variable;
                let values = values.to_dtype(variable.dtype())?;
                variable.set(&values.to_device(variable.device())?)?;
            }
        }
        Ok(())
    }
}

/// The pruned network with the filters that were learned.
pub(super) fn finish(pruned: &Model, learned: &Model) -> Result<Model> {
    let what = "accelerate: filters fitted to the old network's values";
    pruned.redraft(what, Contract::Approximate, |draft| {
        for found in learned.variables().filter(|found| !found.is_buffer) {
            let name = found.name.rsplit('.').next().unwrap_or_default();
            let values = found
                .variable
                .as_detached_tensor()
                .to_device(&Device::Cpu)?;
            draft.set(found.node.id(), &[(name, values)])?;
        }
        Ok(())
    })
}
