//! ReLU, its gradient, and the bias gradient.

use rayon::prelude::*;

use super::scratch;
use super::simd::{Job, Kernel, Simd};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// Rows are summed in at most this many parts, added in order at the end.
const PARTS: usize = 32;

/// Makes negative numbers 0; NaN stays.
pub fn relu(kernel: Kernel, values: &mut [f32]) {
    values
        .par_chunks_mut(CHUNK)
        .for_each(|values| kernel.run(Relu(values)));
}

struct Relu<'a>(&'a mut [f32]);

impl Job for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.0.len();
        for i in (0..len).step_by(S::LANES) {
            let count = S::LANES.min(len - i);
            // SAFETY: `i + count` is at most the length.
            unsafe {
                let place = self.0.as_mut_ptr().add(i);
                let value = simd.load_up_to(place, count);
                simd.store_up_to(place, count, simd.max(simd.splat(0.0), value));
            }
        }
    }
}

/// The gradient before a ReLU: that after it where the ReLU's output is
/// positive, else 0.
///
/// # Panics
/// If the slices differ in length.
pub fn relu_gradient(
    kernel: Kernel,
    relu_output: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    assert_eq!(
        relu_output.len(),
        grad_output.len(),
        "length of the output's gradient"
    );
    assert_eq!(
        relu_output.len(),
        grad_input.len(),
        "length of the input's gradient"
    );
    let chunks = relu_output
        .par_chunks(CHUNK)
        .zip(grad_output.par_chunks(CHUNK));
    grad_input
        .par_chunks_mut(CHUNK)
        .zip(chunks)
        .for_each(|(target, (gate, grad))| {
            kernel.run(ReluGradient { gate, grad, target });
        });
}

struct ReluGradient<'a> {
    gate: &'a [f32],
    grad: &'a [f32],
    target: &'a mut [f32],
}

impl Job for ReluGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { gate, grad, target } = self;
        let len = target.len();
        assert!(gate.len() == len && grad.len() == len);
        for i in (0..len).step_by(S::LANES) {
            let count = S::LANES.min(len - i);
            // SAFETY: `i + count` is at most the length of all three.
            unsafe {
                let gate = simd.load_up_to(gate.as_ptr().add(i), count);
                let grad = simd.load_up_to(grad.as_ptr().add(i), count);
                let value = simd.where_positive(gate, grad);
                simd.store_up_to(target.as_mut_ptr().add(i), count, value);
            }
        }
    }
}

/// Sums a gradient (rows, C) over its rows into `grad_bias` (C). Where a
/// ReLU followed, `relu_output` is what it wrote.
///
/// # Panics
/// If `grad_output` is no whole number of rows, or `relu_output` is of
/// another length.
pub fn bias_gradient(
    kernel: Kernel,
    grad_output: &[f32],
    relu_output: Option<&[f32]>,
    grad_bias: &mut [f32],
) {
    let channels = grad_bias.len();
    assert!(
        relu_output.is_none_or(|gate| gate.len() == grad_output.len()),
        "of the ReLU's output"
    );
    grad_bias.fill(0.0);
    if channels == 0 || grad_output.is_empty() {
        return;
    }
    assert_eq!(grad_output.len() % channels, 0, "whole rows");
    let rows = (grad_output.len() / channels).div_ceil(PARTS);
    let parts = grad_output.len().div_ceil(rows * channels);
    let mut sums = scratch::lend(0, parts * channels);
    let chunk = rows * channels;
    sums.par_chunks_mut(channels)
        .enumerate()
        .for_each(|(i, target)| {
            let range = i * chunk..grad_output.len().min((i + 1) * chunk);
            let gate = relu_output.map(|gate| &gate[range.clone()]);
            kernel.run(ColumnSums {
                data: &grad_output[range],
                gate,
                target,
            });
        });
    for part in sums.chunks_exact(channels) {
        for (target, value) in grad_bias.iter_mut().zip(part) {
            *target += value;
        }
    }
}

struct ColumnSums<'a> {
    data: &'a [f32],
    gate: Option<&'a [f32]>,
    target: &'a mut [f32],
}

impl Job for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { data, gate, target } = self;
        let channels = target.len();
        for channel in (0..channels).step_by(S::LANES) {
            let count = S::LANES.min(channels - channel);
            let mut sum = simd.splat(0.0);
            for start in (channel..data.len()).step_by(channels) {
                let values = &data[start..start + count];
                // SAFETY: the slices just taken hold `count` numbers.
                unsafe {
                    let value = simd.load_up_to(values.as_ptr(), count);
                    sum = simd.add(
                        sum,
                        match gate {
                            Some(gate) => {
                                let gate = &gate[start..start + count];
                                simd.where_positive(simd.load_up_to(gate.as_ptr(), count), value)
                            }
                            None => value,
                        },
                    );
                }
            }
            let target = &mut target[channel..channel + count];
            // SAFETY: the slice just taken holds `count` numbers.
            unsafe { simd.store_up_to(target.as_mut_ptr(), count, sum) }
        }
    }
}
