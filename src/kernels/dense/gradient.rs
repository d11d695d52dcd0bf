//! The gradients of a dense layer.

use rayon::prelude::*;

use super::DenseSizes;
use crate::kernels::elementwise::relu_gradient;
use crate::kernels::gated::Gated;
use crate::kernels::gemm::{Strided, accumulate, add_tile, pieces, with_rows};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Kernel, Simd};

/// Inputs that a thread takes at a time.
const COLUMNS: usize = 1024;

/// Outputs summed before the next columns, so that few pages are open.
const OUTPUTS: usize = 16;

/// What passes of a gated gradient, in scratch memory.
fn passed(kernel: Kernel, grad: Gated) -> Option<scratch::Lent> {
    grad.gate?;
    let mut target = scratch::lend(1, grad.len());
    relu_gradient(kernel, grad, &mut target);
    Some(target)
}

/// The gradient of the input, (N, in): `grad_output` (N, out) times `weights`
/// (out, in).
///
/// # Panics
/// If a slice has another length than that.
pub fn dense_input_gradient(
    kernel: Kernel,
    sizes: DenseSizes,
    weights: &[f32],
    grad_output: Gated,
    grad_input: &mut [f32],
) {
    let DenseSizes {
        batch,
        inputs,
        outputs,
    } = sizes;
    assert_eq!(weights.len(), outputs * inputs, "length of the weights");
    grad_output.assert_len(batch * outputs);
    assert_eq!(
        grad_input.len(),
        batch * inputs,
        "length of the input's gradient"
    );
    if grad_input.is_empty() {
        return;
    }
    let passed = passed(kernel, grad_output);
    let grads = passed.as_deref().unwrap_or(grad_output.values);
    let chunks = inputs.div_ceil(COLUMNS);
    let mut sums = scratch::lend(0, chunks * batch * COLUMNS);
    sums.par_chunks_mut(batch * COLUMNS)
        .enumerate()
        .for_each(|(i, sums)| {
            let first = i * COLUMNS;
            kernel.run(Columns {
                sizes,
                weights,
                grads,
                first,
                sums,
            });
        });
    grad_input
        .par_chunks_mut(inputs)
        .enumerate()
        .for_each(|(n, target)| {
            for (i, target) in target.chunks_mut(COLUMNS).enumerate() {
                target.copy_from_slice(&sums[(i * batch + n) * COLUMNS..][..target.len()]);
            }
        });
}

struct Columns<'a> {
    sizes: DenseSizes,
    weights: &'a [f32],
    grads: &'a [f32],
    first: usize,
    sums: &'a mut [f32],
}

impl Job for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let DenseSizes {
            batch,
            inputs,
            outputs,
        } = self.sizes;
        let width = 2 * S::LANES;
        let end = inputs.min(self.first + COLUMNS);
        let mut tail = [0.0; OUTPUTS * 32];
        self.sums.fill(0.0);
        for start in (0..outputs).step_by(OUTPUTS) {
            let steps = OUTPUTS.min(outputs - start);
            for column in (self.first..end).step_by(width) {
                let count = width.min(end - column);
                let data = &self.weights[start * inputs + column..];
                let b = if count == width {
                    Strided {
                        data,
                        row_stride: 0,
                        step_stride: inputs,
                    }
                } else {
                    copy_tail((data, inputs), (steps, count), width, &mut tail);
                    Strided {
                        data: &tail,
                        row_stride: 0,
                        step_stride: width,
                    }
                };
                for (n, count) in pieces(batch, S::MR) {
                    let place = (n, column, start, steps);
                    with_rows!(count, S, add_columns(simd, &mut self, place, b));
                }
            }
        }
    }
}

/// Copies `steps` rows of `count` numbers into rows of `width`.
#[inline(always)]
fn copy_tail(
    (data, stride): (&[f32], usize),
    (steps, count): (usize, usize),
    width: usize,
    tail: &mut [f32],
) {
    for (step, row) in tail.chunks_exact_mut(width).enumerate().take(steps) {
        row[..count].copy_from_slice(&data[step * stride..][..count]);
    }
}

#[inline(always)]
fn add_columns<S: Simd, const M: usize>(
    simd: S,
    columns: &mut Columns,
    (n, column, start, steps): (usize, usize, usize, usize),
    b: Strided,
) {
    let outputs = columns.sizes.outputs;
    let data = &columns.grads[n * outputs + start..];
    let a = Strided {
        data,
        row_stride: outputs,
        step_stride: 1,
    };
    let mut tile = [[simd.splat(0.0); 2]; M];
    accumulate(simd, steps, a, b, &mut tile);
    let sums = &mut columns.sums[n * COLUMNS + column - columns.first..];
    add_tile(simd, &tile, sums, COLUMNS);
}

/// The gradient of the weights, (out, in): the transposed `grad_output` (N,
/// out) times `input` (N, in).
///
/// # Panics
/// If a slice has another length than that.
pub fn dense_weight_gradient(
    kernel: Kernel,
    sizes: DenseSizes,
    input: &[f32],
    grad_output: Gated,
    grad_weights: &mut [f32],
) {
    let DenseSizes {
        batch,
        inputs,
        outputs,
    } = sizes;
    assert_eq!(input.len(), batch * inputs, "length of the input");
    grad_output.assert_len(batch * outputs);
    assert_eq!(
        grad_weights.len(),
        outputs * inputs,
        "length of the weights' gradient"
    );
    if grad_weights.is_empty() {
        return;
    }
    let passed = passed(kernel, grad_output);
    let grads = passed.as_deref().unwrap_or(grad_output.values);
    let rows = 14;
    grad_weights
        .par_chunks_mut(rows * inputs)
        .enumerate()
        .for_each(|(i, target)| {
            kernel.run(Rows {
                sizes,
                input,
                grads,
                first: i * rows,
                target,
            });
        });
}

struct Rows<'a> {
    sizes: DenseSizes,
    input: &'a [f32],
    grads: &'a [f32],
    first: usize,
    target: &'a mut [f32],
}

impl Job for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let DenseSizes { batch, inputs, .. } = self.sizes;
        let rows = self.target.len() / inputs;
        let width = 2 * S::LANES;
        let mut tail = scratch::lend(2, batch * width);
        for column in (0..inputs).step_by(width) {
            let count = width.min(inputs - column);
            let b = if count == width || batch == 0 {
                let data = self.input.get(column..).unwrap_or(&[]);
                Strided {
                    data,
                    row_stride: 0,
                    step_stride: inputs,
                }
            } else {
                copy_tail(
                    (&self.input[column..], inputs),
                    (batch, count),
                    width,
                    &mut tail,
                );
                Strided {
                    data: &tail,
                    row_stride: 0,
                    step_stride: width,
                }
            };
            for (row, rows) in pieces(rows, S::MR) {
                with_rows!(
                    rows,
                    S,
                    write_rows(simd, &mut self, (row, column, count), b)
                );
            }
        }
    }
}

#[inline(always)]
fn write_rows<S: Simd, const M: usize>(
    simd: S,
    rows: &mut Rows,
    (row, column, count): (usize, usize, usize),
    b: Strided,
) {
    let DenseSizes {
        batch,
        inputs,
        outputs,
    } = rows.sizes;
    let data = rows.grads.get(rows.first + row..).unwrap_or(&[]);
    let a = Strided {
        data,
        row_stride: 1,
        step_stride: outputs,
    };
    let mut tile = [[simd.splat(0.0); 2]; M];
    accumulate(simd, batch, a, b, &mut tile);
    let target = &mut rows.target[row * inputs + column..];
    assert!((M - 1) * inputs + count <= target.len());
    for (m, sums) in tile.iter().enumerate() {
        for (v, value) in sums.iter().enumerate() {
            let lanes = count.saturating_sub(v * S::LANES).min(S::LANES);
            // SAFETY: the assert above holds `count` numbers of the last
            // row, and `v * LANES + lanes <= count` where any are written.
            unsafe {
                let target = target.as_mut_ptr().wrapping_add(m * inputs + v * S::LANES);
                simd.store_up_to(target, lanes, *value);
            }
        }
    }
}
