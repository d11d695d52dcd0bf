//! Work on each value.

use rayon::prelude::*;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// Applies `work` to each value, its channel's factor and its channel.
pub(super) fn per_channel(
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

/// Multiplies each value by its factor.
pub(super) fn multiply(factors: &[f32], input: &[f32], output: &mut [f32]) {
    for ((target, value), factor) in output.iter_mut().zip(input).zip(factors) {
        *target = value * factor;
    }
}
