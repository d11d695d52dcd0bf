//! ReLU, its gradient, and the bias gradient.

use rayon::prelude::*;

use super::gated::Gated;
use super::scratch::{self, Slot};
use super::simd::{Job, Kernel, Simd};
use super::span::{Span, chunks};

/// Values that a thread processes at a time.
const CHUNK: usize = 16 * 1024;

/// The rows are summed in at most this many parts, which are added in order.
const PARTS: usize = 32;

/// Replaces negative values by 0. NaN stays NaN.
pub fn relu(kernel: Kernel, values: &mut [f32]) {
    values
        .par_chunks_mut(CHUNK)
        .for_each(|values| kernel.run(Relu(values)));
}

struct Relu<'a>(&'a mut [f32]);

impl Job for Relu<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for Span { start, count } in chunks(self.0.len(), S::LANES) {
            // SAFETY: the span lies inside the slice.
            unsafe {
                let target = self.0.as_mut_ptr().add(start);
                let value = simd.load_up_to(target, count);
                simd.store_up_to(target, count, simd.max(simd.splat(0.0), value));
            }
        }
    }
}

/// The gradient of a ReLU's input: the gradient of its output where the output
/// is positive, else 0.
///
/// # Panics
/// If the slices differ in length.
pub fn relu_gradient(kernel: Kernel, grad_output: Gated, grad_input: &mut [f32]) {
    grad_output.assert_len(grad_input.len());
    grad_input
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(i, target)| {
            let range = i * CHUNK..i * CHUNK + target.len();
            let source = grad_output.slice(range);
            kernel.run(Copy { source, target });
        });
}

struct Copy<'a> {
    source: Gated<'a>,
    target: &'a mut [f32],
}

impl Job for Copy<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.source.copy_to(simd, self.target);
    }
}

/// Sums a gradient (rows, C) over its rows into `grad_bias` (C).
///
/// # Panics
/// If `grad_output` is not a whole number of rows, or its gate differs in length.
pub fn bias_gradient(kernel: Kernel, grad_output: Gated, grad_bias: &mut [f32]) {
    let (channels, len) = (grad_bias.len(), grad_output.len());
    grad_output.assert_len(len);
    grad_bias.fill(0.0);
    if channels == 0 || len == 0 {
        return;
    }
    assert_eq!(len % channels, 0, "whole rows");
    let rows = (len / channels).div_ceil(PARTS);
    let chunk = rows * channels;
    let parts = len.div_ceil(chunk);
    let mut sums = scratch::lend(Slot::Sums, parts * channels);
    sums.par_chunks_mut(channels)
        .enumerate()
        .for_each(|(i, target)| {
            let source = grad_output.slice(i * chunk..len.min((i + 1) * chunk));
            kernel.run(ColumnSums { source, target });
        });
    for part in sums.chunks_exact(channels) {
        for (target, value) in grad_bias.iter_mut().zip(part) {
            *target += value;
        }
    }
}

struct ColumnSums<'a> {
    source: Gated<'a>,
    target: &'a mut [f32],
}

impl Job for ColumnSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { source, target } = self;
        let channels = target.len();
        for lanes in chunks(channels, S::LANES) {
            let count = lanes.count;
            let mut sum = simd.splat(0.0);
            for start in (lanes.start..source.len()).step_by(channels) {
                let row = source.slice(start..start + count);
                // SAFETY: the slices just taken hold `count` values.
                sum = simd.add(sum, unsafe { row.load(simd, 0, count) });
            }
            let target = &mut target[lanes.range()];
            // SAFETY: the slice just taken holds `count` values.
            unsafe { simd.store_up_to(target.as_mut_ptr(), count, sum) }
        }
    }
}
