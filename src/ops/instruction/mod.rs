//! Instructions: layers of fixed sizes, each one call of a kernel. A convolution
//! applies bias, batch norm, ReLU and pool as it writes its output. A slice with
//! its channels last comes in; another slice, or the gradients, go out.

mod conv;
mod dense;
mod pass;
mod pool;

use std::fmt;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::loss::{LossBackward, TapLoss};
use super::memory::{Extent, Workspace};
use super::merge::dropout_keeps;
use super::parameters::{BatchNorm, Convolution, MaskSeeds, Norm, Parameters};
use crate::kernels::{self, Gated, Kernel};
use crate::layers::FlattenOrder;

pub(super) use conv::{Conv2d, run_convolutions};
pub(super) use dense::Dense;
pub(super) use pass::{Backward, Saved};
pub(super) use pool::Pool;
pub(crate) use pool::PoolKind;

/// Values that a thread processes at a time.
const CHUNK: usize = 16 * 1024;

/// One call of a kernel in a [`Sequence`](super::Sequence).
#[derive(Debug)]
pub(crate) enum Instruction {
    Conv2d(Box<Conv2d>),
    Dense(Dense),
    Pool(Pool),
    BatchNorm(Norm),
    Relu,
    Dropout {
        rate: f64,
        seeds: MaskSeeds,
    },
    Flatten {
        order: FlattenOrder,
        input: Extent,
    },
    /// Computes the loss of a feature map, which passes unchanged.
    Loss {
        loss: TapLoss,
        extent: Extent,
    },
}

impl Instruction {
    pub(crate) fn conv2d(
        workspace: &Workspace,
        input: Extent,
        convolution: Convolution,
        parameters: Parameters,
    ) -> Result<Self> {
        Conv2d::new(workspace, input, convolution, parameters)
            .map(|conv| Self::Conv2d(Box::new(conv)))
    }

    pub(crate) fn dense(input: Extent, parameters: Parameters) -> Result<Self> {
        Dense::new(input, parameters).map(Self::Dense)
    }

    pub(crate) fn pool(input: Extent, kind: PoolKind) -> Result<Self> {
        Pool::new(input, kind).map(Self::Pool)
    }

    pub(crate) fn batch_norm(norm: BatchNorm) -> Self {
        Self::BatchNorm(Norm::new(norm))
    }

    /// The loss of one image's feature map.
    pub(crate) fn loss(input: Extent, loss: TapLoss) -> Result<Self> {
        if input.batch != 1 || input.size.is_none() {
            candle_core::bail!("a tap's loss takes the feature map of one image, not {input}");
        }
        Ok(Self::Loss {
            loss,
            extent: input,
        })
    }
}

impl Instruction {
    pub(super) fn output(&self, input: Extent) -> Extent {
        match self {
            Self::Conv2d(conv) => conv.output(),
            Self::Dense(dense) => dense.output(),
            Self::Pool(pool) => pool.output(),
            Self::Flatten { .. } => input.flattened(),
            _ => input,
        }
    }

    /// Whether the output has the same values in the same order as the input.
    pub(super) fn moves_nothing(&self) -> bool {
        match self {
            Self::Flatten { order, input } => {
                *order == FlattenOrder::Hwc || input.pixels() == 1 || input.channels == 1
            }
            _ => false,
        }
    }

    fn parameters(&self) -> Option<&Parameters> {
        match self {
            Self::Conv2d(conv) => Some(&conv.parameters),
            Self::Dense(dense) => Some(&dense.parameters),
            _ => None,
        }
    }

    /// Parameters whose gradients are recorded, in the order in which
    /// [`Instruction::backward`] returns them.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters().into_iter().flat_map(Parameters::tracked)
    }

    /// Fuses the next instruction into this one if it is a ReLU that the kernel can
    /// apply. Otherwise returns it.
    pub(super) fn absorb_relu(&mut self, next: Self) -> Option<Self> {
        let is_relu = matches!(next, Self::Relu);
        match self {
            Self::Conv2d(conv) if is_relu && !conv.relu && !conv.pool => conv.relu = true,
            Self::Dense(dense) if is_relu && !dense.relu => dense.relu = true,
            _ => return Some(next),
        }
        None
    }

    /// Fuses the next instruction into this one if the kernel can do both.
    /// Otherwise returns it. No gradient may need the value in between.
    pub(super) fn absorb(&mut self, workspace: &Workspace, next: Self) -> Option<Self> {
        let next = self.absorb_relu(next)?;
        let Self::Conv2d(conv) = self else {
            return Some(next);
        };
        match next {
            Self::BatchNorm(norm) if conv.can_fold(&norm) => {
                conv.fold(workspace, norm);
                None
            }
            Self::Pool(pool) if pool.is_halving() && !conv.pool => {
                conv.pool = true;
                None
            }
            Self::Conv2d(next) if conv.can_run_ahead_of(&next) => {
                conv.run_ahead_of(*next);
                None
            }
            next => Some(next),
        }
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<Saved> {
        let mut saved = Saved::default();
        match self {
            Self::Conv2d(conv) => conv.forward(input, output)?,
            Self::Dense(dense) => dense.forward(input, output)?,
            Self::Pool(pool) => pool.forward(input, output),
            Self::BatchNorm(norm) => {
                let affine = norm.affine()?;
                per_channel(&affine.scale, input, output, |value, scale, channel| {
                    value * scale + affine.shift[channel]
                });
            }
            Self::Relu => {
                output.copy_from_slice(input);
                kernels::relu(Kernel::selected(), output);
            }
            Self::Dropout { rate, seeds } if *rate == 0.0 => {
                // The other layers' masks depend on how many seeds were drawn.
                seeds.next();
                output.copy_from_slice(input);
            }
            Self::Dropout { rate, seeds } => {
                let kept = (1.0 / (1.0 - rate)) as f32;
                let keeps = dropout_keeps(input.len(), *rate, seeds.next());
                let mask = keeps.map(|keep| if keep { kept } else { 0.0 });
                saved.factors = mask.collect();
                multiply(&saved.factors, input, output);
            }
            Self::Flatten { input: sizes, .. } => {
                kernels::transpose(sizes.planes().transposed(), input, output);
            }
            Self::Loss { loss, extent } => {
                output.copy_from_slice(input);
                (saved.loss, saved.factors) = loss.forward(input, extent.channels);
            }
        }
        Ok(saved)
    }

    /// Returns the gradients of the tracked parameters.
    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        match self {
            Self::Conv2d(conv) => return conv.backward(at),
            Self::Dense(dense) => return dense.backward(at),
            _ => {}
        }
        let Some(grad_input) = at.grad_input else {
            return Ok(Vec::new());
        };
        let (kernel, grad_output) = (Kernel::selected(), at.grad_output);
        match self {
            Self::Conv2d(_) | Self::Dense(_) => {}
            Self::Pool(pool) => pool.backward(at.input, grad_output, grad_input),
            Self::BatchNorm(norm) => {
                let scale = &norm.affine()?.scale;
                per_channel(scale, grad_output, grad_input, |value, scale, _| {
                    value * scale
                });
            }
            Self::Relu => {
                let gated = Gated {
                    values: grad_output,
                    gate: Some(at.output),
                };
                kernels::relu_gradient(kernel, gated, grad_input);
            }
            Self::Dropout { rate, .. } if *rate == 0.0 => {
                grad_input.copy_from_slice(grad_output);
            }
            Self::Dropout { .. } => multiply(&at.saved.factors, grad_output, grad_input),
            Self::Flatten { input, .. } => {
                kernels::transpose(input.planes(), grad_output, grad_input);
            }
            Self::Loss { loss, extent } => {
                let at = LossBackward {
                    values: at.input,
                    channels: extent.channels,
                    factors: &at.saved.factors,
                    above: grad_output,
                    grad_loss: at.grad_loss,
                };
                loss.backward(at, grad_input);
            }
        }
        Ok(Vec::new())
    }
}

/// Calls `work` with each value, its channel's factor and its channel.
fn per_channel(
    factors: &[f32],
    input: &[f32],
    output: &mut [f32],
    work: impl Fn(f32, f32, usize) -> f32 + Sync,
) {
    let channels = factors.len().max(1);
    let chunk = (CHUNK / channels).max(1) * channels;
    let chunks = output.par_chunks_mut(chunk).zip(input.par_chunks(chunk));
    chunks.for_each(|(output, input)| {
        let rows = output
            .chunks_exact_mut(channels)
            .zip(input.chunks_exact(channels));
        for (output, input) in rows {
            let values = output.iter_mut().zip(input).zip(factors).enumerate();
            for (channel, ((target, &value), &factor)) in values {
                *target = work(value, factor, channel);
            }
        }
    });
}

fn multiply(factors: &[f32], input: &[f32], output: &mut [f32]) {
    for ((target, value), factor) in output.iter_mut().zip(input).zip(factors) {
        *target = value * factor;
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv2d(conv) => conv.fmt(f),
            Self::Dense(dense) => dense.fmt(f),
            Self::Pool(pool) => pool.fmt(f),
            Self::BatchNorm(_) => f.write_str("batch norm"),
            Self::Relu => f.write_str("relu"),
            Self::Dropout { rate, .. } => write!(f, "dropout {rate}"),
            Self::Flatten { .. } => f.write_str("flatten"),
            Self::Loss { .. } => f.write_str("loss"),
        }
    }
}
