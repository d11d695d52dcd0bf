//! The forward pass, `x W^T + b`. The weights are read once, in order.

use rayon::prelude::*;

use super::layer::{DenseLayer, DenseSizes, DenseWeights, Element};
use super::product;
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, chunks, pieces};

/// Up to this many images, lanes run along the inputs.
const FEW: usize = 8;

/// Outputs that a thread computes at a time.
const OUTPUTS: usize = 12;

/// Inputs multiplied before the next outputs. This part of the inputs stays in
/// cache for all images. A single image has larger parts.
const INPUTS: usize = 1024;
const INPUTS_ALONE: usize = 32 * 1024;

/// Outputs of a register tile.
const ROWS: usize = 3;

/// Writes `input * W^T + bias` to `output`, with the layer's ReLU. `input` is
/// (N, in), `output` (N, out).
///
/// # Panics
/// If a slice does not have the length that the sizes say.
pub fn dense(kernel: Kernel, layer: &DenseLayer, input: &[f32], output: &mut [f32]) {
    let DenseLayer {
        sizes,
        weights,
        bias,
        relu,
    } = *layer;
    let DenseSizes { batch, outputs, .. } = sizes;
    sizes.assert_input(input.len());
    sizes.assert_weights(weights.len());
    assert_eq!(output.len(), sizes.output_len(), "length of the output");
    assert!(
        bias.is_none_or(|bias| bias.len() == outputs),
        "length of the bias"
    );
    if output.is_empty() {
        return;
    }
    let many = batch > FEW;
    let pitch = if many {
        product::pitch(kernel, batch)
    } else {
        batch
    };
    let mut sums = scratch::lend(Slot::Output, pitch * outputs);
    let packed = (batch > 1 && !many).then(|| pack(sizes, input));
    let input = packed.as_deref().unwrap_or(input);
    match weights {
        DenseWeights::F32(weights) => multiply(kernel, sizes, input, weights, &mut sums),
        DenseWeights::F16(weights) => multiply(kernel, sizes, input, weights, &mut sums),
        DenseWeights::Bf16(weights) => multiply(kernel, sizes, input, weights, &mut sums),
    }
    for (n, output) in output.chunks_exact_mut(outputs).enumerate() {
        for (o, target) in output.iter_mut().enumerate() {
            let value = sums[o * pitch + n] + bias.map_or(0.0, |bias| bias[o]);
            *target = if relu && value < 0.0 { 0.0 } else { value };
        }
    }
}

/// How many inputs of an image are contiguous in the packed input.
fn chunk(batch: usize) -> usize {
    if batch == 1 { INPUTS_ALONE } else { INPUTS }
}

/// Packs the input as `(chunks, N, chunk)`, aligned.
fn pack(sizes: DenseSizes, input: &[f32]) -> scratch::Lent {
    let DenseSizes { batch, inputs, .. } = sizes;
    let chunk = chunk(batch);
    let mut packed = scratch::lend(Slot::Input, inputs.div_ceil(chunk) * batch * chunk);
    for (n, row) in input.chunks_exact(inputs.max(1)).enumerate() {
        for (i, values) in row.chunks(chunk).enumerate() {
            packed[(i * batch + n) * chunk..][..values.len()].copy_from_slice(values);
        }
    }
    packed
}

/// Writes the products to `sums`, as (out, N). For more than [`FEW`] images,
/// the input is not packed, and `sums` is (out, [`product::pitch`]).
fn multiply<E: Element>(
    kernel: Kernel,
    sizes: DenseSizes,
    input: &[f32],
    weights: &[E],
    sums: &mut [f32],
) {
    let DenseSizes { batch, inputs, .. } = sizes;
    if batch > FEW {
        product::multiply(kernel, sizes, input, weights, sums);
        return;
    }
    sums.par_chunks_mut(OUTPUTS * batch)
        .enumerate()
        .for_each(|(i, sums)| {
            let rows = sums.len() / batch;
            let weights = &weights[i * OUTPUTS * inputs..][..rows * inputs];
            kernel.run(Outputs {
                sizes,
                input,
                weights,
                sums,
            });
        });
}

struct Outputs<'a, E> {
    sizes: DenseSizes,
    input: &'a [f32],
    weights: &'a [E],
    sums: &'a mut [f32],
}

impl<E: Element> Job for Outputs<'_, E> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.sums.fill(0.0);
        let DenseSizes { batch, inputs, .. } = self.sizes;
        let rows = self.sums.len() / batch;
        // As many sums as fit in registers beside the operands.
        let most = if S::MR > 6 { 8 } else { 3 };
        for inputs in chunks(inputs, chunk(batch)) {
            for outputs in pieces(rows, ROWS) {
                for images in pieces(batch, most) {
                    let block = Block {
                        output: outputs.start,
                        image: images.start,
                        inputs,
                    };
                    match outputs.count {
                        3 => self.images::<S, 3>(simd, images.count, block),
                        2 => self.images::<S, 2>(simd, images.count, block),
                        _ => self.images::<S, 1>(simd, images.count, block),
                    }
                }
            }
        }
    }
}

/// A part of the product: the first output, the first image and some inputs.
#[derive(Clone, Copy)]
struct Block {
    output: usize,
    image: usize,
    inputs: Span,
}

impl<E: Element> Outputs<'_, E> {
    #[inline(always)]
    fn images<S: Simd, const R: usize>(&mut self, simd: S, images: usize, block: Block) {
        match images {
            8 if S::MR > 6 => self.tile::<S, R, 8>(simd, block),
            7 if S::MR > 6 => self.tile::<S, R, 7>(simd, block),
            6 if S::MR > 6 => self.tile::<S, R, 6>(simd, block),
            5 if S::MR > 6 => self.tile::<S, R, 5>(simd, block),
            4 if S::MR > 6 => self.tile::<S, R, 4>(simd, block),
            3 => self.tile::<S, R, 3>(simd, block),
            2 => self.tile::<S, R, 2>(simd, block),
            _ => self.tile::<S, R, 1>(simd, block),
        }
    }

    /// Adds the products of `R` outputs and `N` images to `sums`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const N: usize>(&mut self, simd: S, block: Block) {
        let DenseSizes { batch, inputs, .. } = self.sizes;
        let (output, image, span) = (block.output, block.image, block.inputs);
        let (len, chunk) = (span.count, chunk(batch));
        let weights: [&[E]; R] =
            std::array::from_fn(|r| &self.weights[(output + r) * inputs..][span.range()]);
        let input: [&[f32]; N] =
            std::array::from_fn(|n| &self.input[span.start * batch + (image + n) * chunk..][..len]);
        // Prefetches the next rows of weights while this tile is computed.
        let weights_ahead = weights.map(|row| row.as_ptr().wrapping_add(ROWS * inputs));
        let mut all = [[simd.splat(0.0); N]; R];
        let whole = len / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: `i + LANES` is at most `len`, the length of all slices.
            unsafe {
                let weights: [S::Vector; R] =
                    std::array::from_fn(|r| E::load(simd, weights[r].as_ptr().add(i)));
                if N > 1 {
                    for weights in weights_ahead {
                        simd.prefetch(weights.wrapping_add(i).cast());
                    }
                }
                for n in 0..N {
                    let value = simd.load(input[n].as_ptr().add(i));
                    for r in 0..R {
                        all[r][n] = simd.mul_add(weights[r], value, all[r][n]);
                    }
                }
            }
        }
        if whole < len {
            for n in 0..N {
                let value = f32::load_tail(simd, &input[n][whole..]);
                for r in 0..R {
                    let weights = E::load_tail(simd, &weights[r][whole..]);
                    all[r][n] = simd.mul_add(weights, value, all[r][n]);
                }
            }
        }
        for (r, row_sums) in all.iter().enumerate() {
            let sums = &mut self.sums[(output + r) * batch + image..][..N];
            for (sum, value) in sums.iter_mut().zip(row_sums) {
                *sum += simd.sum(*value);
            }
        }
    }
}
