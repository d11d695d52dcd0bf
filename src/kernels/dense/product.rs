//! The product with the transposed weights for many images: lanes run along
//! the images, and weights are broadcast.

use rayon::prelude::*;

use super::layer::{DenseSizes, Element};
use crate::kernels::gemm::{Panel, Product, Rows, add_tile, multiply as multiply_tile, with_rows};
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, chunks, pieces};

/// Inputs multiplied before the next outputs.
const DEPTH: usize = 256;

/// Distance between rows of copied weights: a cache line more than a row, since
/// rows must not share a cache set.
const PITCH: usize = DEPTH + 16;

/// Outputs that a thread computes at a time: whole register tiles.
const OUTPUTS: usize = 84;

/// Packs the input as `(chunks, panels, DEPTH, NR)`, with one image per column
/// and zeros for missing images.
fn pack(sizes: DenseSizes, nr: usize, input: &[f32]) -> scratch::Lent {
    let DenseSizes { batch, inputs, .. } = sizes;
    let panels = batch.div_ceil(nr);
    let mut packed = scratch::lend(Slot::Input, inputs.div_ceil(DEPTH) * panels * DEPTH * nr);
    packed
        .par_chunks_mut(DEPTH * nr)
        .enumerate()
        .for_each(|(i, target)| {
            let (chunk, panel) = (i / panels, i % panels);
            let range = chunk * DEPTH..inputs.min((chunk + 1) * DEPTH);
            target.fill(0.0);
            for n in panel * nr..batch.min((panel + 1) * nr) {
                let row = &input[n * inputs..][range.clone()];
                for (step, value) in row.iter().enumerate() {
                    target[step * nr + n % nr] = *value;
                }
            }
        });
    packed
}

/// Distance between the products of neighboring outputs.
pub(super) fn pitch(kernel: Kernel, batch: usize) -> usize {
    batch.next_multiple_of(kernel.nr())
}

/// Writes the products to `sums`, as (out, [`pitch`]).
pub(super) fn multiply<E: Element>(
    kernel: Kernel,
    sizes: DenseSizes,
    input: &[f32],
    weights: &[E],
    sums: &mut [f32],
) {
    let pitch = pitch(kernel, sizes.batch);
    let packed = pack(sizes, kernel.nr(), input);
    sums.par_chunks_mut(OUTPUTS * pitch)
        .enumerate()
        .for_each(|(i, sums)| {
            let rows = sums.len() / pitch;
            let weights = &weights[i * OUTPUTS * sizes.inputs..][..rows * sizes.inputs];
            kernel.run(Outputs {
                inputs: sizes.inputs,
                pitch,
                packed: &packed,
                weights,
                sums,
            });
        });
}

struct Outputs<'a, E> {
    inputs: usize,
    pitch: usize,
    packed: &'a [f32],
    weights: &'a [E],
    sums: &'a mut [f32],
}

impl<E: Element> Job for Outputs<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.sums.fill(0.0);
        let rows = self.sums.len() / self.pitch;
        let mut copied = scratch::lend(Slot::Panel, S::MR * PITCH);
        for steps in chunks(self.inputs, DEPTH) {
            for Span { start: row, count } in pieces(rows, S::MR) {
                // Prefetches the rows that are copied next.
                let next = if row + count < rows {
                    (row + count) * self.inputs + steps.start
                } else {
                    steps.start + DEPTH
                };
                for m in 0..count {
                    let source = &self.weights[(row + m) * self.inputs..][steps.range()];
                    let ahead = self.weights.as_ptr().wrapping_add(next + m * self.inputs);
                    copy(simd, source, ahead, &mut copied[m * PITCH..]);
                }
                let block = Block {
                    steps,
                    pitch: self.pitch,
                    copied: &copied,
                    packed: self.packed,
                };
                let sums = &mut self.sums[row * self.pitch..];
                with_rows!(count, S, add(simd, block, sums));
            }
        }
    }
}

/// The copied weights of some inputs, and the packed inputs of all images.
#[derive(Clone, Copy)]
struct Block<'a> {
    steps: Span,
    pitch: usize,
    copied: &'a [f32],
    packed: &'a [f32],
}

/// Converts a row of weights to `f32`, and prefetches the row at `ahead`.
#[inline(always)]
fn copy<S: Simd, E: Element>(simd: S, source: &[E], ahead: *const E, target: &mut [f32]) {
    let len = source.len();
    let whole = len / S::LANES * S::LANES;
    assert!(len.next_multiple_of(S::LANES) <= target.len());
    for i in (0..whole).step_by(S::LANES) {
        simd.prefetch(ahead.wrapping_add(i).cast());
        // SAFETY: `i + LANES` is at most `whole`, which is at most the length
        // of both.
        unsafe {
            let value = E::load(simd, source.as_ptr().add(i));
            simd.store(target.as_mut_ptr().add(i), value);
        }
    }
    if whole < len {
        let value = E::load_tail(simd, &source[whole..]);
        // SAFETY: by the assert above, a whole vector fits after `whole`.
        unsafe { simd.store(target.as_mut_ptr().add(whole), value) }
    }
}

/// Adds the products of `M` rows of weights.
#[inline(always)]
fn add<S: Simd, const M: usize>(simd: S, block: Block, sums: &mut [f32]) {
    let Block {
        steps: Span {
            start,
            count: steps,
        },
        pitch,
        copied,
        packed,
    } = block;
    let a = Rows {
        data: copied,
        row_stride: PITCH,
        step_stride: 1,
    };
    for column in (0..pitch).step_by(S::NR) {
        let b = Panel {
            data: &packed[start * pitch + column * DEPTH..],
            step_stride: S::NR,
        };
        let tile = multiply_tile::<S, M>(simd, Product { steps, a, b });
        add_tile(simd, &tile, &mut sums[column..], pitch);
    }
}
