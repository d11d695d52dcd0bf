//! Bias, ReLU and pool, which a convolution applies as it writes its output.

use crate::kernels::simd::Simd;
use crate::kernels::span::{Span, chunks};

/// What a convolution applies to its sums as it writes them: first the bias,
/// then the ReLU, then the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One value for each output channel.
    pub bias: Option<&'a [f32]>,
    /// Whether a ReLU is applied. NaN stays NaN.
    pub relu: bool,
    /// Whether a 2x2 max pool of stride 2 is applied. It drops an odd last row
    /// or column.
    pub pool: bool,
}

impl Epilogue<'_> {
    #[inline(always)]
    pub(super) fn bias_vector<S: Simd>(&self, simd: S, channels: Span) -> S::Vector {
        match self.bias {
            None => simd.splat(0.0),
            Some(bias) => {
                let bias = &bias[channels.range()];
                // SAFETY: the slice just taken holds `count` values.
                unsafe { simd.load_up_to(bias.as_ptr(), channels.count) }
            }
        }
    }

    /// The lower bound of the output: 0 with a ReLU, else minus infinity.
    #[inline(always)]
    pub(super) fn least<S: Simd>(&self, simd: S) -> S::Vector {
        simd.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY })
    }
}

/// Rows of pixels, channels last.
#[derive(Clone, Copy)]
pub(super) struct PixelRows<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub channels: usize,
}

/// Max-pools pairs of rows of `width` pixels to rows of `width / 2` pixels.
#[inline(always)]
pub(super) fn max_pool_rows<S: Simd>(simd: S, rows: PixelRows, output: &mut [f32]) {
    let PixelRows {
        values,
        width,
        channels,
    } = rows;
    let line = width * channels;
    let pooled_line = (width / 2) * channels;
    for (pair, row) in values
        .chunks_exact(2 * line)
        .zip(output.chunks_exact_mut(pooled_line))
    {
        let (top, bottom) = pair.split_at(line);
        for (x, target) in row.chunks_exact_mut(channels).enumerate() {
            let start = 2 * x * channels;
            let square = [
                &top[start..start + channels],
                &top[start + channels..start + 2 * channels],
                &bottom[start..start + channels],
                &bottom[start + channels..start + 2 * channels],
            ];
            max_of_four(simd, square, target);
        }
    }
}

/// The larger number. A NaN counts as larger than every number.
#[inline(always)]
pub(super) fn largest<S: Simd>(simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
    simd.where_exceeds(b, a, b, a)
}

#[inline(always)]
fn max_of_four<S: Simd>(simd: S, square: [&[f32]; 4], target: &mut [f32]) {
    let len = target.len();
    assert!(square.iter().all(|pixel| pixel.len() == len));
    for Span { start, count } in chunks(len, S::LANES) {
        // SAFETY: by the assert above, the span lies inside all five slices.
        unsafe {
            let top = largest(
                simd,
                simd.load_up_to(square[0].as_ptr().add(start), count),
                simd.load_up_to(square[1].as_ptr().add(start), count),
            );
            let bottom = largest(
                simd,
                simd.load_up_to(square[2].as_ptr().add(start), count),
                simd.load_up_to(square[3].as_ptr().add(start), count),
            );
            simd.store_up_to(
                target.as_mut_ptr().add(start),
                count,
                largest(simd, top, bottom),
            );
        }
    }
}
