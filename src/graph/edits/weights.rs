use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;

use super::super::context::Claim;
use super::super::core::Graph;
use super::super::keras_key::keras_key;
use super::super::select::Select;
use super::super::weight_key::{Layout, WeightKey};
use super::super::weight_set::WeightSet;

impl Graph {
    /// Reads the parameters of layers from other weights when the graph is built,
    /// for example of a head that was trained elsewhere. They are found by name
    /// and shape: as `layer.parameter`, as Keras' `layer/kernel` in Keras' layout,
    /// and under the names of other libraries if the layer is one of a VGG.
    ///
    /// A missing tensor is an error when the graph is built, unless the weight
    /// set is [`partial`](WeightSet::partial). [`Graph::weights_report`] of the
    /// built model says what was read.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::{Dense, Head, Vgg16, WeightSet};
    ///
    /// let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu);
    /// let trained = WeightSet::tensors(HashMap::from([
    ///     ("out.weight".to_string(), tensor(&[2, 8])?),
    ///     ("out.bias".to_string(), tensor(&[2])?),
    /// ]));
    /// let head = Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2));
    /// let graph = Vgg16::nano().truncate("block1_pool")?.attach(head)?;
    /// let model = graph.also_from(trained, "out")?.build(&Device::Cpu)?;
    /// let report = model.graph().weights_report();
    /// assert_eq!(report.rows.last().unwrap().tensor.as_deref(), Some("out.bias"));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the selection.
    pub fn also_from(self, weights: impl Into<WeightSet>, layers: impl Select) -> Result<Self> {
        let (selection, weights) = (layers.select(&self)?, Arc::new(weights.into()));
        let what = format!("also_from(\"{weights}\", {})", selection.words);
        self.edit(what, Claim::Inferred, |graph| {
            for pick in &selection.picks {
                let node = graph.expect_node(pick.id);
                let own = node.parameters().iter().map(|parameter| {
                    let own = WeightKey {
                        name: format!("{}.{}", node.name(), parameter.name()),
                        layout: Layout::AsIs,
                    };
                    let keras = keras_key(graph, pick.id, parameter.name());
                    (parameter.name().to_string(), [Some(own), keras])
                });
                let own: HashMap<String, _> = own.collect();
                graph.change_parameters(pick.id, |parameter| {
                    let mut keys = parameter.known_keys().to_vec();
                    for key in own.get(parameter.name()).into_iter().flatten().flatten() {
                        if !keys.iter().any(|known| known.name == key.name) {
                            keys.push(key.clone());
                        }
                    }
                    parameter.set_weights(&weights, keys);
                });
            }
            Ok(())
        })
    }
}
