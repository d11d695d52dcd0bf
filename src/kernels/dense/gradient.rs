//! The gradients of a dense layer.

use rayon::prelude::*;

use super::layer::DenseSizes;
use crate::kernels::elementwise::relu_gradient;
use crate::kernels::gated::Gated;
use crate::kernels::gemm::{self, Panel, Product, add_tile, multiply, with_rows};
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, chunks, pieces};

/// Inputs that a thread computes at a time.
const COLUMNS: usize = 1024;

/// Outputs summed before the next columns. Few rows of the weights touch few pages.
const OUTPUTS: usize = 16;

/// Rows of the weights' gradient that a thread computes at a time.
const ROWS: usize = 14;

/// The gradient of the ReLU's input, in scratch memory; `None` without a ReLU.
fn passed(kernel: Kernel, grad: Gated) -> Option<scratch::Lent> {
    grad.gate?;
    let mut target = scratch::lend(Slot::Output, grad.len());
    relu_gradient(kernel, grad, &mut target);
    Some(target)
}

/// The gradient of the input, (N, in): `grad_output` (N, out) times `weights`
/// (out, in).
///
/// # Panics
/// If a slice does not have the length that the sizes say.
pub fn dense_input_gradient(
    kernel: Kernel,
    sizes: DenseSizes,
    weights: &[f32],
    grad_output: Gated,
    grad_input: &mut [f32],
) {
    let DenseSizes { batch, inputs, .. } = sizes;
    sizes.assert_weights(weights.len());
    sizes.assert_input(grad_input.len());
    grad_output.assert_len(sizes.output_len());
    if grad_input.is_empty() {
        return;
    }
    let passed = passed(kernel, grad_output);
    let grads = passed.as_deref().unwrap_or(grad_output.values);
    let chunks = inputs.div_ceil(COLUMNS);
    let mut sums = scratch::lend(Slot::Sums, chunks * batch * COLUMNS);
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
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let DenseSizes { batch, inputs, .. } = self.sizes;
        let columns = COLUMNS.min(inputs - self.first);
        let mut tail = [0.0; OUTPUTS * 32];
        self.sums.fill(0.0);
        for steps in chunks(self.sizes.outputs, OUTPUTS) {
            for nr in chunks(columns, S::NR) {
                let source = Panel {
                    data: &self.weights[steps.start * inputs + self.first + nr.start..],
                    step_stride: inputs,
                };
                let b = if nr.count == S::NR {
                    source
                } else {
                    copy_tail(simd, source, nr.count, &mut tail[..steps.count * S::NR])
                };
                for images in pieces(batch, S::MR) {
                    let block = Block {
                        image: images.start,
                        column: nr.start,
                        steps,
                    };
                    with_rows!(images.count, S, add_columns(simd, &mut self, block, b));
                }
            }
        }
    }
}

/// Copies a panel of only `count` columns to `tail`, in rows of a whole panel.
#[inline(always)]
fn copy_tail<'a, S: Simd>(_simd: S, source: Panel, count: usize, tail: &'a mut [f32]) -> Panel<'a> {
    for (step, row) in tail.chunks_exact_mut(S::NR).enumerate() {
        row[..count].copy_from_slice(&source.data[step * source.step_stride..][..count]);
    }
    Panel {
        data: tail,
        step_stride: S::NR,
    }
}

/// A part of the product: the first image, the first column and some outputs.
#[derive(Clone, Copy)]
struct Block {
    image: usize,
    column: usize,
    steps: Span,
}

#[inline(always)]
fn add_columns<S: Simd, const M: usize>(simd: S, columns: &mut Columns, block: Block, b: Panel) {
    let outputs = columns.sizes.outputs;
    let a = gemm::Rows {
        data: &columns.grads[block.image * outputs + block.steps.start..],
        row_stride: outputs,
        step_stride: 1,
    };
    let product = Product {
        steps: block.steps.count,
        a,
        b,
    };
    let tile = multiply::<S, M>(simd, product);
    let sums = &mut columns.sums[block.image * COLUMNS + block.column..];
    add_tile(simd, &tile, sums, COLUMNS);
}

/// The gradient of the weights, (out, in): the transposed `grad_output` (N,
/// out) times `input` (N, in).
///
/// # Panics
/// If a slice does not have the length that the sizes say.
pub fn dense_weight_gradient(
    kernel: Kernel,
    sizes: DenseSizes,
    input: &[f32],
    grad_output: Gated,
    grad_weights: &mut [f32],
) {
    sizes.assert_input(input.len());
    sizes.assert_weights(grad_weights.len());
    grad_output.assert_len(sizes.output_len());
    if grad_weights.is_empty() {
        return;
    }
    let passed = passed(kernel, grad_output);
    let grads = passed.as_deref().unwrap_or(grad_output.values);
    grad_weights
        .par_chunks_mut(ROWS * sizes.inputs)
        .enumerate()
        .for_each(|(i, target)| {
            kernel.run(Rows {
                sizes,
                input,
                grads,
                first: i * ROWS,
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
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let DenseSizes { batch, inputs, .. } = self.sizes;
        let rows = self.target.len() / inputs;
        let mut tail = scratch::lend(Slot::Panel, batch * S::NR);
        for columns in chunks(inputs, S::NR) {
            let source = Panel {
                data: self.input.get(columns.start..).unwrap_or(&[]),
                step_stride: inputs,
            };
            let b = if columns.count == S::NR || batch == 0 {
                source
            } else {
                copy_tail(simd, source, columns.count, &mut tail)
            };
            for Span { start: row, count } in pieces(rows, S::MR) {
                with_rows!(count, S, write_rows(simd, &mut self, row, columns, b));
            }
        }
    }
}

/// Writes the columns `columns` of `M` rows, beginning with `row`.
#[inline(always)]
fn write_rows<S: Simd, const M: usize>(
    simd: S,
    rows: &mut Rows,
    row: usize,
    columns: Span,
    b: Panel,
) {
    let inputs = rows.sizes.inputs;
    let a = gemm::Rows {
        data: rows.grads.get(rows.first + row..).unwrap_or(&[]),
        row_stride: 1,
        step_stride: rows.sizes.outputs,
    };
    let steps = rows.sizes.batch;
    let product = Product { steps, a, b };
    let tile = multiply::<S, M>(simd, product);
    let target = &mut rows.target[row * inputs + columns.start..];
    assert!((M - 1) * inputs + columns.count <= target.len());
    for (m, sums) in tile.iter().enumerate() {
        for (v, value) in sums.iter().enumerate() {
            let lanes = columns.count.saturating_sub(v * S::LANES).min(S::LANES);
            // SAFETY: by the assert above, the columns of the last row lie
            // inside `target`. `v * LANES + lanes` is at most their number if
            // any lanes are written.
            unsafe {
                let target = target.as_mut_ptr().wrapping_add(m * inputs + v * S::LANES);
                simd.store_up_to(target, lanes, *value);
            }
        }
    }
}
