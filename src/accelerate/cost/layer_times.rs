use std::collections::HashSet;

use candle_core::Tensor;

use crate::error::{ImageError, Result};
use crate::graph::{Graph, Plan};
use crate::model::Model;

use super::super::units::units;
use super::costs::Costs;

/// Runs of each layer.
const RUNS: usize = 3;

/// How long the layers of a network take on this machine: measured once, at some
/// numbers of channels, and interpolated for relatives with fewer.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::accelerate::LayerTimes;
/// use vgg_surgery::surgery::Prune;
/// use vgg_surgery::Vgg16;
///
/// let model = Vgg16::nano().truncate("block2_pool")?.build(&Device::Cpu)?;
/// let x = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?;
/// let times = LayerTimes::measure(&model, &x)?;
/// let narrower = model.prune_filters("block1_conv2", Prune::fraction(0.5))?;
/// let plan = times.plan(narrower.graph());
/// assert!(plan.milliseconds.is_some_and(|predicted| predicted > 0.0));
/// println!("{plan}");
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerTimes {
    costs: Costs,
}

impl LayerTimes {
    /// Measures a network for inputs like `x`, `(N, C, H, W)`; its values don't
    /// matter. It takes some tens of forward passes. Nothing else should run on
    /// the machine meanwhile.
    ///
    /// # Errors
    /// [`ImageError::EmptyBatch`] if `x` has no images; as [`Model::forward`].
    pub fn measure(model: &Model, x: &Tensor) -> Result<Self> {
        if x.dims().first() == Some(&0) {
            return Err(ImageError::EmptyBatch.into());
        }
        let model = model.fold_batch_norm()?;
        let units = units(model.graph(), &HashSet::new());
        let x = x.to_device(model.device())?;
        let costs = Costs::milliseconds(&model, &units, &x, RUNS)?;
        Ok(Self { costs })
    }

    /// The graph's plan with the predicted milliseconds of a forward pass of the
    /// inputs that were measured. The graph has the layers of the network that was
    /// measured, some of them perhaps with fewer channels; layers that it
    /// lacks cost nothing.
    pub fn plan(&self, graph: &Graph) -> Plan {
        Plan {
            milliseconds: Some(self.costs.of(graph)),
            ..graph.plan()
        }
    }
}
