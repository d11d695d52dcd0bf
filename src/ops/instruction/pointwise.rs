use std::fmt;

use candle_core::Result;
use rayon::prelude::*;

use crate::kernels::{self, Gated, Kernel};
use crate::layer::FlattenOrder;
use crate::ops::memory::Extent;
use crate::ops::merge::dropout_keeps;
use crate::ops::parameters::{MaskSeeds, Norm};

use super::pass::{Backward, Saved};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// Work on each value, or on the order of the values.
#[derive(Debug)]
pub(crate) enum Pointwise {
    Relu,
    BatchNorm(Norm),
    /// Each value is dropped with probability `rate`.
    Dropout {
        rate: f64,
        seeds: MaskSeeds,
    },
    Flatten {
        order: FlattenOrder,
        input: Extent,
    },
}

impl Pointwise {
    /// The sizes of the output for an input of these sizes.
    pub(in crate::ops) fn output(&self, input: Extent) -> Extent {
        match self {
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

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<Saved> {
        let mut saved = Saved::default();
        match self {
            Self::Relu => {
                output.copy_from_slice(input);
                kernels::relu(Kernel::selected(), output);
            }
            Self::BatchNorm(norm) => {
                let affine = norm.affine()?;
                per_channel(&affine.scale, input, output, |value, scale, channel| {
                    value * scale + affine.shift[channel]
                });
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
        }
        Ok(saved)
    }

    pub(super) fn backward(&self, at: Backward<'_>) -> Result<()> {
        let Some(grad_input) = at.grad_input else {
            return Ok(());
        };
        match self {
            Self::Relu => {
                let kernel = Kernel::selected();
                let gated = Gated {
                    values: at.grad_output,
                    gate: Some(at.output),
                };
                kernels::relu_gradient(kernel, gated, grad_input);
            }
            Self::BatchNorm(norm) => {
                let affine = norm.affine()?;
                per_channel(
                    &affine.scale,
                    at.grad_output,
                    grad_input,
                    |value, scale, _| value * scale,
                );
            }
            Self::Dropout { rate, .. } if *rate == 0.0 => {
                grad_input.copy_from_slice(at.grad_output);
            }
            Self::Dropout { .. } => multiply(&at.saved.factors, at.grad_output, grad_input),
            Self::Flatten { input: sizes, .. } => {
                kernels::transpose(sizes.planes(), at.grad_output, grad_input);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pointwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relu => f.write_str("relu"),
            Self::BatchNorm(_) => f.write_str("batch norm"),
            Self::Dropout { rate, .. } => write!(f, "dropout {rate}"),
            Self::Flatten { .. } => f.write_str("flatten"),
        }
    }
}

/// Applies `work` to each value, its channel's factor and its channel.
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

fn multiply(mask: &[f32], input: &[f32], output: &mut [f32]) {
    for ((target, value), factor) in output.iter_mut().zip(input).zip(mask) {
        *target = value * factor;
    }
}
