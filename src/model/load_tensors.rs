use crate::error::Result;
use crate::graph::{Select, WeightSet, WeightsReport};

use super::core::Model;

impl Model {
    /// Replaces the values of layers by tensors of a file or another weight set. They
    /// are found by name and shape as [`Graph::also_from`] does. Returns which
    /// tensor each parameter of these layers was read from.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::{Vgg16, WeightSet};
    ///
    /// let mut model = Vgg16::nano().truncate("block1_pool")?.build(&Device::Cpu)?;
    /// let bias = Tensor::zeros(8, DType::F32, &Device::Cpu)?;
    /// let weights = WeightSet::tensors(HashMap::from([("block1_conv1.bias".to_string(), bias)]));
    /// let report = model.load_tensors(weights.partial(), "block1_conv1")?;
    /// assert_eq!(report.rows[1].tensor.as_deref(), Some("block1_conv1.bias"));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the selection and of [`Graph::build`]; the model then does
    /// not change. A missing tensor is one of them, unless the weight set is
    /// [`partial`](WeightSet::partial).
    ///
    /// [`Graph::also_from`]: crate::Graph::also_from
    /// [`Graph::build`]: crate::Graph::build
    pub fn load_tensors(
        &mut self,
        weights: impl Into<WeightSet>,
        layers: impl Select,
    ) -> Result<WeightsReport> {
        let selection = layers.select(self.graph())?;
        let ids: Vec<_> = selection.picks.iter().map(|pick| pick.id).collect();
        *self = self.edit(|graph| graph.also_from(weights, ids.as_slice()))?;
        let graph = self.graph();
        let mut report = graph.weights_report();
        let is_chosen = |id: &_| graph.find(*id).map(|node| node.name().to_string());
        let names: Vec<String> = ids.iter().filter_map(is_chosen).collect();
        report.rows.retain(|row| names.contains(&row.layer));
        Ok(report)
    }
}
