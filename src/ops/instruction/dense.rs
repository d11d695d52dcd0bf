use std::fmt;

use candle_core::{CpuStorage, Result, Tensor};

use crate::kernels::{self, DenseLayer, DenseSizes, DenseWeights, Gated, Kernel};
use crate::ops::memory::{Extent, with_slice, with_storage};
use crate::ops::parameters::{Bias, Parameters, gradient_of};

use super::pass::Backward;

#[derive(Debug)]
pub(crate) struct Dense {
    pub(in crate::ops) parameters: Parameters,
    pub(in crate::ops) relu: bool,
    sizes: DenseSizes,
    bias: Bias,
}

impl Dense {
    pub(in crate::ops) fn new(input: Extent, parameters: Parameters) -> Result<Self> {
        if input.size.is_some() {
            candle_core::bail!("a dense layer takes vectors, not {input}; flatten first");
        }
        let (batch, features) = (input.batch, input.channels);
        let (outputs, inputs) = parameters.weight.dims2()?;
        if inputs != features {
            candle_core::bail!(
                "weights {:?} do not fit {features} features",
                (outputs, inputs)
            );
        }
        Ok(Self {
            sizes: DenseSizes {
                batch,
                inputs,
                outputs,
            },
            bias: Bias::new(parameters.bias.as_ref()),
            parameters: Parameters {
                weight: parameters.weight.contiguous()?,
                ..parameters
            },
            relu: false,
        })
    }

    pub(in crate::ops) fn output(&self) -> Extent {
        Extent {
            batch: self.sizes.batch,
            channels: self.sizes.outputs,
            size: None,
        }
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        let bias = self.bias.values()?;
        with_storage(&self.parameters.weight, |storage, range| {
            let weights = match storage {
                CpuStorage::F32(values) => DenseWeights::F32(&values[range]),
                CpuStorage::F16(values) => DenseWeights::F16(&values[range]),
                CpuStorage::BF16(values) => DenseWeights::Bf16(&values[range]),
                _ => candle_core::bail!("dense weights are f32, f16 or bf16"),
            };
            let layer = DenseLayer {
                sizes: self.sizes,
                weights,
                bias: bias.as_deref(),
                relu: self.relu,
            };
            kernels::dense(Kernel::selected(), &layer, input, output);
            Ok(())
        })
    }

    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        let grad_output = Gated {
            values: at.grad_output,
            gate: self.relu.then_some(at.output),
        };
        let (kernel, sizes) = (Kernel::selected(), self.sizes);
        let mut gradients = Vec::with_capacity(2);
        let Parameters { weight, bias, .. } = &self.parameters;
        if self.parameters.tracks(weight) {
            let mut gradient = vec![0.0; weight.elem_count()];
            kernels::dense_weight_gradient(kernel, sizes, at.input, grad_output, &mut gradient);
            gradients.push(gradient_of(weight, gradient)?);
        }
        if let Some(bias) = bias.as_ref().filter(|bias| self.parameters.tracks(bias)) {
            let mut gradient = vec![0.0; bias.elem_count()];
            kernels::bias_gradient(kernel, grad_output, &mut gradient);
            gradients.push(gradient_of(bias, gradient)?);
        }
        if let Some(grad_input) = at.grad_input {
            with_slice(weight, |weights| {
                kernels::dense_input_gradient(kernel, sizes, weights, grad_output, grad_input);
                Ok(())
            })?;
        }
        Ok(gradients)
    }
}

impl fmt::Display for Dense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.relu { "dense, relu" } else { "dense" })
    }
}
