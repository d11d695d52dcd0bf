//! The 2x2 max pool that follows a convolution.

use crate::kernels::simd::Simd;

/// Pools pairs of rows of `(width, channels)` into rows of `width / 2`.
#[inline(always)]
pub(super) fn max_pool_rows<S: Simd>(
    simd: S,
    full: &[f32],
    (width, channels): (usize, usize),
    output: &mut [f32],
) {
    let line = width * channels;
    let pooled_line = (width / 2) * channels;
    for (pair, row) in full
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

/// The larger; a NaN wins over every number.
#[inline(always)]
pub(super) fn largest<S: Simd>(simd: S, a: S::Vector, b: S::Vector) -> S::Vector {
    simd.where_exceeds(b, a, b, a)
}

#[inline(always)]
fn max_of_four<S: Simd>(simd: S, square: [&[f32]; 4], target: &mut [f32]) {
    let len = target.len();
    assert!(square.iter().all(|pixel| pixel.len() == len));
    for i in (0..len).step_by(S::LANES) {
        let count = S::LANES.min(len - i);
        // SAFETY: `i + count` is at most the length of all five.
        unsafe {
            let top = largest(
                simd,
                simd.load_up_to(square[0].as_ptr().add(i), count),
                simd.load_up_to(square[1].as_ptr().add(i), count),
            );
            let bottom = largest(
                simd,
                simd.load_up_to(square[2].as_ptr().add(i), count),
                simd.load_up_to(square[3].as_ptr().add(i), count),
            );
            simd.store_up_to(
                target.as_mut_ptr().add(i),
                count,
                largest(simd, top, bottom),
            );
        }
    }
}
