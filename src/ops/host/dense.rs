use candle_core::{CpuStorage, Device, Result, Tensor};

use crate::kernels::{self, DenseLayer, DenseWeights, Gated, Kernel};
use crate::ops::step::Affine;

use super::operator::Backward;
use super::tensors::{Extent, to_vec, with_slice, with_storage};

/// A dense layer at its sizes.
#[derive(Debug)]
pub(super) struct Dense {
    sizes: kernels::DenseSizes,
    pub(super) affine: Affine,
}

impl Dense {
    pub(super) fn new(extent: Extent, affine: &Affine, training: bool) -> Result<(Self, Extent)> {
        let Extent::Rows { batch, features } = extent else {
            candle_core::bail!("a dense layer takes vectors, not {extent:?}; flatten first");
        };
        let (outputs, inputs) = affine.weight.dims2()?;
        if inputs != features {
            candle_core::bail!(
                "weights {:?} do not fit {features} features",
                (outputs, inputs)
            );
        }
        let affine = Affine {
            weight: affine.weight.contiguous()?,
            frozen: affine.frozen || !training,
            ..affine.clone()
        };
        let sizes = kernels::DenseSizes {
            batch,
            inputs,
            outputs,
        };
        let output = Extent::Rows {
            batch,
            features: outputs,
        };
        let dense = Self { sizes, affine };
        Ok((dense, output))
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        let bias = self.affine.bias.as_ref().map(to_vec).transpose()?;
        let relu = self.affine.relu;
        with_storage(&self.affine.weight, |storage, range| {
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
                relu,
            };
            kernels::dense(Kernel::selected(), &layer, input, output);
            Ok(())
        })
    }

    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        let grad_output = Gated {
            values: at.grad_output,
            gate: self.affine.relu.then_some(at.output),
        };
        let kernel = Kernel::selected();
        let mut gradients = Vec::with_capacity(2);
        let Affine { weight, bias, .. } = &self.affine;
        if self.affine.tracks(weight) {
            let mut gradient = vec![0.0; weight.elem_count()];
            kernels::dense_weight_gradient(
                kernel,
                self.sizes,
                at.input,
                grad_output,
                &mut gradient,
            );
            gradients.push(Tensor::from_vec(gradient, weight.shape(), &Device::Cpu)?);
        }
        if let Some(bias) = bias.as_ref().filter(|bias| self.affine.tracks(bias)) {
            let mut gradient = vec![0.0; bias.elem_count()];
            kernels::bias_gradient(kernel, grad_output, &mut gradient);
            gradients.push(Tensor::from_vec(gradient, bias.shape(), &Device::Cpu)?);
        }
        if let Some(grad_input) = at.grad_input {
            let wide = weight.to_dtype(candle_core::DType::F32)?;
            with_slice(&wide, |weights| {
                kernels::dense_input_gradient(kernel, self.sizes, weights, grad_output, grad_input);
                Ok(())
            })?;
        }
        Ok(gradients)
    }
}
