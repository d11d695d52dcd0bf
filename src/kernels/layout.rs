//! From channels first to channels last and back.

use rayon::prelude::*;

/// Columns moved together, a cache line of numbers.
const BLOCK: usize = 16;

/// Writes `input` (N, C, H W) as `output` (N, H W, C).
///
/// # Panics
/// If a slice has another length than `batch * channels * pixels`.
pub fn nchw_to_nhwc(
    (batch, channels, pixels): (usize, usize, usize),
    input: &[f32],
    output: &mut [f32],
) {
    transpose((batch, channels, pixels), input, output);
}

/// Writes `input` (N, H W, C) as `output` (N, C, H W).
///
/// # Panics
/// If a slice has another length than `batch * channels * pixels`.
pub fn nhwc_to_nchw(
    (batch, channels, pixels): (usize, usize, usize),
    input: &[f32],
    output: &mut [f32],
) {
    transpose((batch, pixels, channels), input, output);
}

/// Turns each `rows` by `columns` matrix into `columns` by `rows`.
fn transpose((batch, rows, columns): (usize, usize, usize), input: &[f32], output: &mut [f32]) {
    let matrix = rows * columns;
    assert_eq!(input.len(), batch * matrix, "length of the input");
    assert_eq!(output.len(), batch * matrix, "length of the output");
    if output.is_empty() {
        return;
    }
    output
        .par_chunks_mut(matrix)
        .zip(input.par_chunks(matrix))
        .for_each(|(output, input)| {
            output
                .par_chunks_mut(BLOCK * rows)
                .enumerate()
                .for_each(|(i, output)| {
                    let first = i * BLOCK;
                    for row in (0..rows).step_by(BLOCK) {
                        for (column, output) in output.chunks_exact_mut(rows).enumerate() {
                            let end = rows.min(row + BLOCK);
                            for (row, target) in (row..end).zip(&mut output[row..end]) {
                                *target = input[row * columns + first + column];
                            }
                        }
                    }
                });
        });
}
