//! The convolution: blocks of tiles are transformed, multiplied, transformed back.

use rayon::prelude::*;

use super::layer::{Domain, Layer};
use super::output::{RowTarget, TileRow};
use super::pack::position_pitch;
use super::shared::share;
use super::tile::Tile;
use super::transform::{Products, Scattered, input_tile};
use super::upstream::Upstream;
use crate::kernels::cache::Caches;
use crate::kernels::conv::call::Pass;
use crate::kernels::gemm::{Panel, Product, Rows, multiply_panel};
use crate::kernels::geometry::Size2;
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Simd};
use crate::kernels::span::{Span, pieces};

/// The most bytes of a block's transformed input and output, and at most five
/// eighths of a thread's level-2 cache.
const BLOCK_BYTES: usize = 640 << 10;

/// The least number of tile rows in a group that computes its own input rows.
/// Neighboring groups compute the rows at their border twice.
const FUSED_ROWS: usize = 4;

/// The most groups into which the tile rows are split for the threads.
const GROUPS: usize = 32;

/// The most bytes of transformed input and output if all threads share them.
const SHARED_BYTES: usize = 32 << 20;

fn tile_rows<'a, T: Tile>(pass: &Pass, output: &'a mut [f32]) -> Vec<RowTarget<'a>> {
    let Size2 { height, width } = pass.out_size();
    let step = if pass.epilogue.pool { 2 } else { 1 };
    let line = width * pass.sweep.out_channels;
    let mut rows = Vec::with_capacity(pass.sweep.batch * height.div_ceil(T::OUT / step));
    for (image, output) in output.chunks_exact_mut(height * line).enumerate() {
        for (i, output) in output.chunks_mut(T::OUT / step * line).enumerate() {
            let tiles = TileRow {
                image,
                row: i * T::OUT,
            };
            rows.push(RowTarget { tiles, output });
        }
    }
    rows
}

/// Runs the sweep. `output` has the pooled size if the epilogue pools. `before`
/// is a direct convolution without a pool: its output, computed row by row,
/// replaces the pass's source. The filter must then be kept packed.
pub(in crate::kernels::conv) fn run<T: Tile>(
    pass: &Pass,
    before: Option<&Pass>,
    output: &mut [f32],
) {
    if output.is_empty() {
        return;
    }
    let kernel = pass.filter.packed.kernel;
    let domain = Domain::new::<T>(&pass.sweep, kernel.nr());
    let mut rows = tile_rows::<T>(pass, output);
    let layer = Layer::<T> {
        pass,
        domain,
        fused: before.is_some(),
        tile: Default::default(),
    };
    if !pass.filter.packed.is_kept() {
        let tiles = SHARED_BYTES / domain.tile_bytes::<T>();
        for rows in rows.chunks_mut((tiles / domain.columns).max(1)) {
            share(&layer, rows);
        }
    } else {
        // Products are fastest for whole register tiles.
        let whole = kernel.mr();
        let bytes = BLOCK_BYTES.min(Caches::of_this_cpu().level_2 / 8 * 5);
        let fitting = bytes / domain.tile_bytes::<T>() / whole * whole;
        let tiles = fitting.max(kernel.sharing_rows());
        let least = if before.is_some() { FUSED_ROWS } else { 1 };
        let group = rows.len().div_ceil(GROUPS);
        let group = group.max(tiles / domain.columns).max(least);
        rows.par_chunks_mut(group).for_each(|rows| {
            kernel.run(Group {
                layer: &layer,
                before,
                rows,
                tiles,
            });
        });
    }
}

#[derive(Clone, Copy)]
struct Tiles<'a> {
    rows: &'a [TileRow],
    span: Span,
}

/// Splits each of `lines` lines of `across` tiles into spans of at most `most`.
#[inline(always)]
fn spans(lines: usize, across: usize, most: usize) -> impl Iterator<Item = Span> {
    (0..lines).flat_map(move |line| {
        pieces(across, most).map(move |Span { start, count }| Span {
            start: line * across + start,
            count,
        })
    })
}

/// Multiplies tiles with the filter, and prefetches the next tiles' input.
#[inline(always)]
fn multiply<S: Simd, T: Tile>(
    simd: S,
    layer: &Layer<T>,
    tiles: Tiles,
    inputs: &[f32],
    products: &mut [f32],
) {
    let Domain {
        pitch, panels, nr, ..
    } = layer.domain;
    let (start, tiles_count) = (tiles.span.start, tiles.span.count);
    let count = T::IN * T::IN * panels;
    let channels = layer.pass.sweep.in_channels;
    let packed = &layer.pass.filter.packed.data;
    let position_pitch = position_pitch(panels * channels * nr);
    for i in 0..count {
        for t in i * tiles_count / count..(i + 1) * tiles_count / count {
            layer.prefetch(simd, tiles.rows, start + tiles_count + t);
        }
        let (position, panel) = (i / panels, i % panels);
        let a = Rows {
            data: &inputs[position * tiles_count * pitch..],
            row_stride: pitch,
            step_stride: 1,
        };
        let b = Panel {
            data: &packed[position * position_pitch + panel * channels * nr..],
            step_stride: nr,
        };
        let product = Product {
            steps: channels,
            a,
            b,
        };
        multiply_panel(
            simd,
            tiles_count,
            product,
            &mut products[i * tiles_count * nr..],
        );
    }
}

/// Rows of tiles, processed in blocks of `tiles` tiles.
struct Group<'a, 'b, T> {
    layer: &'a Layer<'a, T>,
    before: Option<&'a Pass<'a>>,
    rows: &'a mut [RowTarget<'b>],
    tiles: usize,
}

impl<T: Tile> Job for Group<'_, '_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (layer, rows, most) = (self.layer, self.rows, self.tiles);
        let Domain {
            columns,
            pitch,
            panels,
            nr,
        } = layer.domain;
        let sweep = &layer.pass.sweep;
        let positions = T::IN * T::IN;
        let tile_rows: Vec<_> = rows.iter().map(|row| row.tiles).collect();
        let mut inputs = scratch::lend(Slot::Input, positions * most * pitch);
        let mut products = scratch::lend(Slot::Output, positions * panels * most * nr);
        let mut upstream = self.before.map(Upstream::new::<T>);
        // The upstream convolution serves one row of tiles at a time.
        let (lines, across) = match upstream {
            Some(_) => (rows.len(), columns),
            None => (1, rows.len() * columns),
        };
        for Span { start, count } in spans(lines, across, most) {
            if let Some(upstream) = &mut upstream {
                let TileRow { image, row } = tile_rows[start / columns];
                upstream.make(image, sweep.corner(row, 0).top);
            }
            for t in 0..count {
                let target = Scattered {
                    data: &mut inputs[t * pitch..],
                    stride: count * pitch,
                };
                let tile = layer.start(&tile_rows, start + t);
                match &upstream {
                    None => layer.read(simd, tile, target),
                    Some(upstream) => {
                        let corner = sweep.corner(tile.row, tile.column);
                        input_tile::<S, T>(simd, upstream.map(), corner, target);
                    }
                }
            }
            let tiles = Tiles {
                rows: &tile_rows,
                span: Span { start, count },
            };
            multiply(simd, layer, tiles, &inputs, &mut products);
            for t in 0..count {
                let products = Products {
                    data: &products[t * nr..],
                    position_stride: panels * count * nr,
                    panel_stride: count * nr,
                };
                let (row, column) = ((start + t) / columns, (start + t) % columns);
                layer.write(simd, products, column, &mut *rows[row].output);
            }
        }
    }
}
