//! From channels first to channels last and back.

use rayon::prelude::*;

/// Columns transposed at a time: one cache line of values.
const BLOCK: usize = 16;

/// Matrices of one size, one after the other. An image with its channels first
/// is a matrix (C, H W). Transposed, it has its channels last.
#[derive(Clone, Copy, Debug)]
pub struct Matrices {
    pub count: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Matrices {
    pub fn transposed(self) -> Self {
        Self {
            count: self.count,
            rows: self.columns,
            columns: self.rows,
        }
    }
}

/// Transposes each matrix of `input` into `output`.
///
/// # Panics
/// If the length of a slice is not that of the matrices.
pub fn transpose(matrices: Matrices, input: &[f32], output: &mut [f32]) {
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
