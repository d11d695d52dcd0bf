//! Writes tiles of sums to the output, through the epilogue.

use super::tile::{Line, Tile};
use crate::kernels::conv::call::Pass;
use crate::kernels::conv::epilogue::largest;
use crate::kernels::simd::Simd;
use crate::kernels::span::Span;

#[derive(Clone, Copy)]
pub(super) struct TileRow {
    pub image: usize,
    /// The tiles' first row in the convolution's output, before the pool.
    pub row: usize,
}

/// A row of tiles and the memory of its output.
pub(super) struct RowTarget<'a> {
    pub tiles: TileRow,
    /// The output rows, `(rows, width, C)`, pooled if the epilogue pools.
    pub output: &'a mut [f32],
}

/// Some channels of a tile. `column` is the tile's first output column.
#[derive(Clone, Copy)]
pub(super) struct TileChannels {
    pub column: usize,
    pub channels: Span,
}

#[inline(always)]
pub(super) fn write_tile<S: Simd, T: Tile>(
    simd: S,
    square: [Line<S::Vector>; 4],
    pass: &Pass,
    tile: TileChannels,
    output: &mut [f32],
) {
    let (sweep, epilogue) = (&pass.sweep, &pass.epilogue);
    let step = if epilogue.pool { 2 } else { 1 };
    let width = sweep.out_size.width / step;
    let line = width * sweep.out_channels;
    let rows = (output.len() / line).min(T::OUT / step);
    let TileChannels { column, channels } = tile;
    let column = column / step;
    let columns = width.saturating_sub(column).min(T::OUT / step);
    let first = column * sweep.out_channels + channels.start;
    if columns == 0 || rows == 0 {
        return;
    }
    let mut finished = Finished::<S> {
        square,
        bias: epilogue.bias_vector(simd, channels),
        least: epilogue.least(simd),
        rows,
        columns,
        count: channels.count,
        line,
        pixel: sweep.out_channels,
    };
    let output = &mut output[first..];
    // Constant sizes let the compiler specialize the code for whole tiles.
    let all = T::OUT / step;
    if rows == all && columns == all && channels.count == S::LANES {
        (finished.rows, finished.columns, finished.count) = (all, all, S::LANES);
        if epilogue.pool {
            finished.write::<T, true>(simd, output);
        } else {
            finished.write::<T, false>(simd, output);
        }
    } else if epilogue.pool {
        finished.write::<T, true>(simd, output);
    } else {
        finished.write::<T, false>(simd, output);
    }
}

/// A tile of sums, ready to be written.
struct Finished<S: Simd> {
    square: [Line<S::Vector>; 4],
    bias: S::Vector,
    least: S::Vector,
    /// Number of rows, columns and channels to write.
    rows: usize,
    columns: usize,
    count: usize,
    /// Distance between rows of the output.
    line: usize,
    /// Distance between pixels of a row.
    pixel: usize,
}

impl<S: Simd> Finished<S> {
    #[inline(always)]
    fn write<T: Tile, const POOL: bool>(&self, simd: S, output: &mut [f32]) {
        let square = &self.square;
        let all = if POOL { T::OUT / 2 } else { T::OUT };
        let Self { line, pixel, .. } = *self;
        let last = (self.rows - 1) * line + (self.columns - 1) * pixel;
        assert!(last + self.count <= output.len());
        for i in 0..all {
            for j in 0..all {
                if i >= self.rows || j >= self.columns {
                    continue;
                }
                let value = if POOL {
                    let (first, second) = (&square[2 * i], &square[2 * i + 1]);
                    let top = largest(simd, first[2 * j], first[2 * j + 1]);
                    let bottom = largest(simd, second[2 * j], second[2 * j + 1]);
                    largest(simd, top, bottom)
                } else {
                    square[i][j]
                };
                let value = simd.max(self.least, simd.add(value, self.bias));
                // SAFETY: by the assert above, `output` holds the last pixel.
                unsafe {
                    let target = output.as_mut_ptr().add(i * line + j * pixel);
                    simd.store_up_to(target, self.count, value);
                }
            }
        }
    }
}
