use std::sync::Arc;

use candle_core::Result;
use rayon::prelude::*;

use crate::kernels::{self, FeatureMaps, Gated, Kernel};
use crate::ops::merge::dropout_keeps;
use crate::ops::step::BatchNorm;
use crate::ops::watch::Watch;

use super::operator::Backward;
use super::tensors::{Extent, to_vec};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// What works on each value, or on where it lies.
#[derive(Debug)]
pub(super) enum Pointwise {
    Relu,
    /// Each channel times `scale` plus `shift`.
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// Each value times its factor.
    Mask(Vec<f32>),
    /// From channels last to channels first.
    ChannelsFirst(FeatureMaps),
    Watch {
        watch: Arc<dyn Watch>,
        channels: usize,
    },
}

impl Pointwise {
    pub(super) fn batch_norm(norm: &BatchNorm) -> Result<Self> {
        let mean = to_vec(&norm.statistics.mean)?;
        let variance = to_vec(&norm.statistics.variance)?;
        let (weight, bias) = (to_vec(&norm.weight)?, to_vec(&norm.bias)?);
        let scale: Vec<f32> = weight
            .iter()
            .zip(&variance)
            .map(|(&weight, &variance)| {
                (f64::from(weight) / (f64::from(variance) + norm.eps).sqrt()) as f32
            })
            .collect();
        let terms = bias.iter().zip(&mean).zip(&scale);
        let shift = terms
            .map(|((bias, mean), scale)| bias - mean * scale)
            .collect();
        Ok(Self::Affine { scale, shift })
    }

    pub(super) fn dropout(extent: Extent, rate: f64, seed: u64) -> Self {
        let kept = (1.0 / (1.0 - rate)) as f32;
        let keeps = dropout_keeps(extent.len(), rate, seed);
        Self::Mask(keeps.map(|keep| if keep { kept } else { 0.0 }).collect())
    }

    pub(super) fn watch(extent: Extent, watch: &Arc<dyn Watch>) -> Result<Self> {
        match extent {
            Extent::Map {
                batch: 1, channels, ..
            } => Ok(Self::Watch {
                watch: Arc::clone(watch),
                channels,
            }),
            _ => candle_core::bail!("a map of one picture is watched, not {extent:?}"),
        }
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        match self {
            Self::Relu => {
                output.copy_from_slice(input);
                kernels::relu(Kernel::selected(), output);
            }
            Self::Affine { scale, shift } => {
                per_channel(scale, input, output, |value, scale, channel| {
                    value * scale + shift[channel]
                });
            }
            Self::Mask(mask) => multiply(mask, input, output),
            Self::ChannelsFirst(maps) => kernels::nhwc_to_nchw(*maps, input, output),
            Self::Watch { watch, channels } => {
                watch.see(input, *channels);
                output.copy_from_slice(input);
            }
        }
    }

    pub(super) fn backward(&self, at: Backward<'_>) {
        let Some(grad_input) = at.grad_input else {
            return;
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
            Self::Affine { scale, .. } => {
                per_channel(scale, at.grad_output, grad_input, |value, scale, _| {
                    value * scale
                });
            }
            Self::Mask(mask) => multiply(mask, at.grad_output, grad_input),
            Self::ChannelsFirst(maps) => kernels::nchw_to_nhwc(*maps, at.grad_output, grad_input),
            Self::Watch { watch, channels } => {
                watch.gradient(at.input, *channels, at.grad_output, grad_input);
            }
        }
    }
}

/// `work` on each value, its channel's factor and its channel.
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
