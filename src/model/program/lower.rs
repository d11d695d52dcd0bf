use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::graph::{Node, Parameter};
use crate::layers::{Activation, BatchNorm2d, Layer};
use crate::model::core::{Model, Stored};
use crate::ops::{self, BatchStatistics, Convolution, Extent, Instruction, MaskSeeds, PoolKind};

use super::step::{Running, TrainedNorm};

/// Makes instructions of layers and a model's parameters.
pub(super) struct Lowering<'a> {
    pub(super) model: &'a Model,
    pub(super) training: bool,
}

impl Lowering<'_> {
    /// Whether an instruction computes the layer.
    pub(super) fn is_instruction(&self, node: &Node) -> bool {
        match node.layer() {
            Layer::Conv2d(_)
            | Layer::Dense(_)
            | Layer::MaxPool2d(_)
            | Layer::AvgPool2d(_)
            | Layer::GlobalAvgPool2d(_)
            | Layer::GlobalMaxPool2d(_)
            | Layer::AdaptiveAvgPool2d(_)
            | Layer::Flatten(_)
            | Layer::Dropout(_)
            | Layer::Activation(Activation::Relu | Activation::Linear) => true,
            Layer::BatchNorm2d(_) => !self.training || node.is_frozen(),
            Layer::Input(_)
            | Layer::Activation(_)
            | Layer::Add(_)
            | Layer::Concat(_)
            | Layer::Upsample(_)
            | Layer::ZeroPad2d(_)
            | Layer::Rescale(_)
            | Layer::Custom(_) => false,
        }
    }

    /// The instruction that computes a layer without its activation, or `None`
    /// if the layer returns its input unchanged.
    pub(super) fn lower(
        &self,
        node: &Node,
        input: Extent,
    ) -> candle_core::Result<Option<Instruction>> {
        let window = node.layer().rules().window();
        let pool = |kind| Instruction::pool(input, kind);
        let instruction = match node.layer() {
            Layer::Conv2d(conv) => {
                let convolution = Convolution {
                    window,
                    groups: conv.groups,
                };
                let workspace = &self.model.workspace;
                Instruction::conv2d(workspace, input, convolution, self.parameters(node)?)?
            }
            Layer::Dense(_) => Instruction::dense(input, self.parameters(node)?)?,
            Layer::MaxPool2d(_) => pool(PoolKind::Max(window))?,
            Layer::AvgPool2d(_) => pool(PoolKind::Avg(window))?,
            Layer::GlobalAvgPool2d(_) => pool(PoolKind::GlobalAvg)?,
            Layer::GlobalMaxPool2d(_) => pool(PoolKind::GlobalMax)?,
            Layer::AdaptiveAvgPool2d(layer) => {
                if input.shape().size() == Some(layer.output_size) {
                    return Ok(None);
                }
                pool(PoolKind::AdaptiveAvg(layer.output_size))?
            }
            Layer::BatchNorm2d(norm) => Instruction::batch_norm(self.running_norm(node, norm)?),
            Layer::Activation(Activation::Relu) => Instruction::Relu,
            Layer::Flatten(flatten) => Instruction::Flatten {
                order: flatten.order,
                input,
            },
            Layer::Dropout(dropout) if self.training => Instruction::Dropout {
                rate: dropout.rate,
                seeds: self.mask_seeds(node),
            },
            Layer::Dropout(_) | Layer::Activation(_) => return Ok(None),
            // Each of these is a step by itself.
            Layer::Input(_)
            | Layer::Add(_)
            | Layer::Concat(_)
            | Layer::Upsample(_)
            | Layer::ZeroPad2d(_)
            | Layer::Rescale(_)
            | Layer::Custom(_) => return Ok(None),
        };
        Ok(Some(instruction))
    }

    fn parameters(&self, node: &Node) -> candle_core::Result<ops::Parameters> {
        let mut parameters = node.parameters().iter();
        let mut next = || {
            let parameter = parameters.next()?;
            Some(self.model.get_stored(parameter).identity().clone())
        };
        let Some(weight) = next() else {
            candle_core::bail!("the layer has no weight");
        };
        Ok(ops::Parameters {
            weight,
            bias: next(),
            frozen: node.is_frozen() || !self.training,
        })
    }

    fn running_norm(&self, node: &Node, norm: &BatchNorm2d) -> candle_core::Result<ops::BatchNorm> {
        let [weight, bias, mean, variance] = norm_parameters(node)?;
        let identity = |parameter| self.model.get_stored(parameter).identity().clone();
        Ok(ops::BatchNorm {
            statistics: BatchStatistics {
                mean: identity(mean),
                variance: identity(variance),
            },
            weight: identity(weight),
            bias: identity(bias),
            eps: norm.eps,
        })
    }

    pub(super) fn trained_norm(&self, node: &Node, norm: &BatchNorm2d) -> Result<TrainedNorm> {
        let parameters = norm_parameters(node).map_err(|reason| Error::Layer {
            layer: node.name().to_string(),
            reason,
        })?;
        let [weight, bias, mean, variance] = parameters;
        let running = |parameter| {
            let stored = self.model.get_stored(parameter);
            Running {
                values: stored.tensor().detach(),
                variable: match stored {
                    Stored::Variable(variable) => Some(variable.clone()),
                    Stored::Frozen(_) | Stored::Resting { .. } => None,
                },
            }
        };
        Ok(TrainedNorm {
            weight: self.value(weight),
            bias: self.value(bias),
            mean: running(mean),
            variance: running(variance),
            eps: norm.eps,
            momentum: norm.momentum,
        })
    }

    /// The parameters that a custom layer receives.
    pub(super) fn values(&self, node: &Node) -> Vec<Tensor> {
        let parameters = node.parameters().iter();
        parameters.map(|parameter| self.value(parameter)).collect()
    }

    /// A parameter's values. Outside training they record no gradients, so
    /// nothing is kept for a backward pass.
    fn value(&self, parameter: &Parameter) -> Tensor {
        let tensor = self.model.get_stored(parameter).tensor();
        match self.training {
            true => tensor.clone(),
            false => tensor.detach(),
        }
    }

    /// The seeds of a layer's masks; the model counts them.
    fn mask_seeds(&self, node: &Node) -> MaskSeeds {
        let drawn: Arc<AtomicU64> = Arc::clone(&self.model.masks_drawn);
        let seed_of = self.model.graph().mask_seeds(node.name());
        MaskSeeds::new(move || seed_of(drawn.fetch_add(1, Ordering::Relaxed)))
    }
}

fn norm_parameters(node: &Node) -> candle_core::Result<[&Parameter; 4]> {
    match node.parameters() {
        [weight, bias, mean, variance] => Ok([weight, bias, mean, variance]),
        _ => candle_core::bail!("a batch norm has four parameters"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use crate::layers::Dropout;
    use crate::vgg::Vgg16;

    /// The number of a mask is part of its seed, so it must not depend on the
    /// rates.
    #[test]
    fn dropouts_that_drop_nothing_count_their_masks() {
        let graph = Vgg16::nano().truncate("block1_pool").unwrap();
        let graph = graph.attach(Dropout::new(0.0).named("none")).unwrap();
        let graph = graph.attach(Dropout::new(0.5).named("half")).unwrap();
        let model = graph.build(&Device::Cpu).unwrap();
        let x = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        for passes in 1..=2 {
            model.forward_training(&x).unwrap();
            assert_eq!(model.masks_drawn(), 2 * passes);
        }
        model.forward(&x).unwrap();
        assert_eq!(model.masks_drawn(), 4);
    }
}
