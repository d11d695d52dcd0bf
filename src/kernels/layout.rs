//! From channels first to channels last and back.

use rayon::prelude::*;

/// Columns moved together, a cache line of numbers.
const BLOCK: usize = 16;

/// Sizes of feature maps.
#[derive(Clone, Copy, Debug)]
pub struct FeatureMaps {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of an image, height times width.
    pub pixels: usize,
}

/// Writes `input` (N, C, H W) as `output` (N, H W, C).
///
/// # Panics
/// If a slice has another length than `maps` says.
pub fn nchw_to_nhwc(maps: FeatureMaps, input: &[f32], output: &mut [f32]) {
    let FeatureMaps {
        batch,
        channels,
        pixels,
    } = maps;
    let matrices = Matrices {
        count: batch,
        rows: channels,
        columns: pixels,
    };
    transpose(matrices, input, output);
}

/// Writes `input` (N, H W, C) as `output` (N, C, H W).
///
/// # Panics
/// If a slice has another length than `maps` says.
pub fn nhwc_to_nchw(maps: FeatureMaps, input: &[f32], output: &mut [f32]) {
    let FeatureMaps {
        batch,
        channels,
        pixels,
    } = maps;
    let matrices = Matrices {
        count: batch,
        rows: pixels,
        columns: channels,
    };
    transpose(matrices, input, output);
}

/// Matrices of one size, one after the other.
struct Matrices {
    count: usize,
    rows: usize,
    columns: usize,
}

/// Transposes each matrix.
fn transpose(matrices: Matrices, input: &[f32], output: &mut [f32]) {
    let Matrices {
        count,
        rows,
        columns,
    } = matrices;
    let matrix = rows * columns;
    assert_eq!(input.len(), count * matrix, "length of the input");
    assert_eq!(output.len(), count * matrix, "length of the output");
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
