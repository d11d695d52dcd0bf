//! The convolution with a large filter: all threads share many tiles, and each
//! panel of the filter is transformed once for all of them.

use rayon::prelude::*;

use super::layer::{Domain, Layer};
use super::output::{RowTarget, TileRow};
use super::pack::{pack_panel, position_pitch};
use super::tile::Tile;
use super::transform::{Products, Scattered};
use crate::kernels::gemm::{Panel, Product, Rows, multiply_panel};
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Simd};

/// The most tiles in a block of the shared transformed input.
const BLOCK_TILES: usize = 14;

/// Transforms, multiplies and transforms back: all threads work on the same
/// tiles.
pub(super) fn share<T: Tile>(layer: &Layer<T>, rows: &mut [RowTarget]) {
    let Domain {
        columns,
        pitch,
        panels,
        nr,
    } = layer.domain;
    let tile_rows: Vec<_> = rows.iter().map(|row| row.tiles).collect();
    let tiles = rows.len() * columns;
    let positions = T::IN * T::IN;
    let kernel = layer.pass.filter.packed.kernel;
    let mut inputs = scratch::lend(Slot::Input, tiles * positions * pitch);
    let block_tiles = tiles.div_ceil(tiles.div_ceil(BLOCK_TILES));
    let block = positions * block_tiles * pitch;
    inputs
        .par_chunks_mut(block)
        .enumerate()
        .for_each(|(i, target)| {
            let first = i * block_tiles;
            kernel.run(ReadBlock {
                layer,
                rows: &tile_rows,
                first,
                target,
            });
        });
    let mut products = scratch::lend(Slot::Output, panels * positions * tiles * nr);
    products
        .par_chunks_mut(positions * tiles * nr)
        .enumerate()
        .for_each(|(panel, target)| {
            kernel.run(MultiplyPanel {
                layer,
                panel,
                inputs: &inputs,
                target,
                block_tiles,
            });
        });
    rows.par_iter_mut().enumerate().for_each(|(i, row)| {
        let first = i * columns;
        kernel.run(WriteRow {
            layer,
            products: &products,
            tiles,
            first,
            row,
        });
    });
}

struct ReadBlock<'a, T> {
    layer: &'a Layer<'a, T>,
    rows: &'a [TileRow],
    first: usize,
    target: &'a mut [f32],
}

impl<T: Tile> Job for ReadBlock<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pitch = self.layer.domain.pitch;
        let tiles = self.target.len() / (T::IN * T::IN * pitch);
        for t in 0..tiles {
            let target = Scattered {
                data: &mut self.target[t * pitch..],
                stride: tiles * pitch,
            };
            self.layer.prefetch(simd, self.rows, self.first + t + 1);
            let tile = self.layer.start(self.rows, self.first + t);
            self.layer.read(simd, tile, target);
        }
    }
}

/// The products of a panel of filters with all tiles, position by position.
struct MultiplyPanel<'a, T> {
    layer: &'a Layer<'a, T>,
    panel: usize,
    inputs: &'a [f32],
    target: &'a mut [f32],
    block_tiles: usize,
}

impl<T: Tile> Job for MultiplyPanel<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            layer,
            panel,
            inputs,
            target,
            block_tiles,
        } = self;
        let Domain { pitch, nr, .. } = layer.domain;
        let channels = layer.pass.sweep.in_channels;
        let positions = T::IN * T::IN;
        let position_pitch = position_pitch(channels * nr);
        let mut packed = scratch::lend(Slot::Panel, positions * position_pitch);
        let mut targets: Vec<_> = packed.chunks_exact_mut(position_pitch).collect();
        pack_panel::<S, T>(simd, layer.pass.filter.weights, panel, &mut targets);
        let block = positions * block_tiles * pitch;
        let products = target.len() / positions;
        for (position, target) in target.chunks_exact_mut(products).enumerate() {
            let b = Panel {
                data: &packed[position * position_pitch..],
                step_stride: nr,
            };
            for (inputs, target) in inputs
                .chunks(block)
                .zip(target.chunks_mut(block_tiles * nr))
            {
                let tiles = inputs.len() / (positions * pitch);
                let a = Rows {
                    data: &inputs[position * tiles * pitch..],
                    row_stride: pitch,
                    step_stride: 1,
                };
                let product = Product {
                    steps: channels,
                    a,
                    b,
                };
                multiply_panel(simd, tiles, product, target);
            }
        }
    }
}

struct WriteRow<'a, 'b, T> {
    layer: &'a Layer<'a, T>,
    products: &'a [f32],
    tiles: usize,
    first: usize,
    row: &'a mut RowTarget<'b>,
}

impl<T: Tile> Job for WriteRow<'_, '_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Domain { columns, nr, .. } = self.layer.domain;
        let position_stride = self.tiles * nr;
        for column in 0..columns {
            let products = Products {
                data: &self.products[(self.first + column) * nr..],
                position_stride,
                panel_stride: T::IN * T::IN * position_stride,
            };
            self.layer
                .write(simd, products, column, &mut *self.row.output);
        }
    }
}
