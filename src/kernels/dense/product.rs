//! The product with the transposed weights for many images: lanes over
//! images, the weights broadcast.

use rayon::prelude::*;

use super::DenseSizes;
use super::weights::Element;
use crate::kernels::gemm::{Strided, accumulate, add_tile, pieces, with_rows};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Kernel, Simd};

/// Inputs multiplied before the next outputs.
const DEPTH: usize = 256;

/// Distance of two rows of copied weights: a cache line more, so that rows
/// don't share a cache set.
const PITCH: usize = DEPTH + 16;

/// Outputs that a thread takes at a time; whole register tiles.
const OUTPUTS: usize = 84;

/// The input as `(chunks, panels, DEPTH, width)`, images across, missing ones
/// 0.
fn pack(sizes: DenseSizes, width: usize, input: &[f32]) -> scratch::Lent {
    let DenseSizes { batch, inputs, .. } = sizes;
    let panels = batch.div_ceil(width);
    let mut packed = scratch::lend(1, inputs.div_ceil(DEPTH) * panels * DEPTH * width);
    packed
        .par_chunks_mut(DEPTH * width)
        .enumerate()
        .for_each(|(i, target)| {
            let (chunk, panel) = (i / panels, i % panels);
            let range = chunk * DEPTH..inputs.min((chunk + 1) * DEPTH);
            target.fill(0.0);
            for n in panel * width..batch.min((panel + 1) * width) {
                let row = &input[n * inputs..][range.clone()];
                for (step, value) in row.iter().enumerate() {
                    target[step * width + n % width] = *value;
                }
            }
        });
    packed
}

/// Numbers from one output's products to the next's.
pub(super) fn pitch(kernel: Kernel, batch: usize) -> usize {
    batch.next_multiple_of(kernel.panel_width())
}

/// Writes the products as (out, [`pitch`]).
pub(super) fn multiply<E: Element>(
    kernel: Kernel,
    sizes: DenseSizes,
    input: &[f32],
    weights: &[E],
    sums: &mut [f32],
) {
    let pitch = pitch(kernel, sizes.batch);
    let packed = pack(sizes, kernel.panel_width(), input);
    sums.par_chunks_mut(OUTPUTS * pitch)
        .enumerate()
        .for_each(|(i, sums)| {
            let rows = sums.len() / pitch;
            let weights = &weights[i * OUTPUTS * sizes.inputs..][..rows * sizes.inputs];
            kernel.run(Rows {
                inputs: sizes.inputs,
                pitch,
                packed: &packed,
                weights,
                sums,
            });
        });
}

struct Rows<'a, E> {
    inputs: usize,
    pitch: usize,
    packed: &'a [f32],
    weights: &'a [E],
    sums: &'a mut [f32],
}

impl<E: Element> Job for Rows<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.sums.fill(0.0);
        let rows = self.sums.len() / self.pitch;
        let mut copied = scratch::lend(2, S::MR * PITCH);
        for start in (0..self.inputs).step_by(DEPTH) {
            let steps = DEPTH.min(self.inputs - start);
            for (row, count) in pieces(rows, S::MR) {
                // What is copied next, while this multiplies.
                let next = if row + count < rows {
                    (row + count) * self.inputs + start
                } else {
                    start + DEPTH
                };
                for m in 0..count {
                    let source = &self.weights[(row + m) * self.inputs + start..][..steps];
                    let ahead = self.weights.as_ptr().wrapping_add(next + m * self.inputs);
                    copy(simd, source, ahead, &mut copied[m * PITCH..]);
                }
                let place = Place {
                    pitch: self.pitch,
                    row,
                    start,
                    steps,
                };
                let operands = (self.packed, &copied[..]);
                with_rows!(count, S, add(simd, place, operands, &mut *self.sums));
            }
        }
    }
}

/// Where products are added: from output `row` on, over `steps` inputs from
/// `start` on.
#[derive(Clone, Copy)]
struct Place {
    pitch: usize,
    row: usize,
    start: usize,
    steps: usize,
}

/// Converts a row, and asks for as much from `ahead` on.
#[inline(always)]
fn copy<S: Simd, E: Element>(simd: S, source: &[E], ahead: *const E, target: &mut [f32]) {
    let len = source.len();
    let whole = len / S::LANES * S::LANES;
    assert!(len.next_multiple_of(S::LANES) <= target.len());
    for i in (0..whole).step_by(S::LANES) {
        simd.prefetch(ahead.wrapping_add(i).cast());
        // SAFETY: `i + LANES` is at most `whole`, and that at most the length
        // of both.
        unsafe {
            let value = E::load(simd, source.as_ptr().add(i));
            simd.store(target.as_mut_ptr().add(i), value);
        }
    }
    if whole < len {
        let value = E::load_tail(simd, &source[whole..]);
        // SAFETY: the assert above holds a whole vector after `whole`.
        unsafe { simd.store(target.as_mut_ptr().add(whole), value) }
    }
}

/// Adds the products of `M` rows of weights over some inputs.
#[inline(always)]
fn add<S: Simd, const M: usize>(
    simd: S,
    place: Place,
    (packed, copied): (&[f32], &[f32]),
    sums: &mut [f32],
) {
    let Place {
        pitch,
        row,
        start,
        steps,
    } = place;
    let width = 2 * S::LANES;
    let a = Strided {
        data: copied,
        row_stride: PITCH,
        step_stride: 1,
    };
    for column in (0..pitch).step_by(width) {
        let b = Strided {
            data: &packed[start * pitch + column * DEPTH..],
            row_stride: 0,
            step_stride: width,
        };
        let mut tile = [[simd.splat(0.0); 2]; M];
        accumulate(simd, steps, a, b, &mut tile);
        let sums = &mut sums[row * pitch + column..];
        add_tile(simd, &tile, sums, pitch);
    }
}
