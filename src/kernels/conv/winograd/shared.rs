//! Deep layers: their filters are read once for many tiles, by all threads.

use rayon::prelude::*;

use super::Tile;
use super::forward::{Domain, Layer};
use super::output::TileRow;
use super::transform::{Products, Scattered};
use crate::kernels::gemm::{Strided, multiply_panel};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Simd};

/// Tiles that lie together in the shared transformed input at most.
const BLOCK_TILES: usize = 14;

impl<T: Tile> Layer<'_, T> {
    /// All threads work on the same tiles: first transform, products, last
    /// transform, one after the other.
    pub(super) fn share(&self, rows: &mut [TileRow]) {
        let Domain {
            columns,
            pitch,
            panels,
            width,
        } = self.domain;
        let places: Vec<_> = rows.iter().map(|row| (row.image, row.row)).collect();
        let tiles = rows.len() * columns;
        let positions = T::IN * T::IN;
        let kernel = self.pass.filter.kernel();
        let mut inputs = scratch::lend(0, tiles * positions * pitch);
        let block_tiles = tiles.div_ceil(tiles.div_ceil(BLOCK_TILES));
        let block = positions * block_tiles * pitch;
        inputs
            .par_chunks_mut(block)
            .enumerate()
            .for_each(|(i, target)| {
                let first = i * block_tiles;
                kernel.run(ReadBlock {
                    layer: self,
                    places: &places,
                    first,
                    target,
                });
            });
        let mut products = scratch::lend(1, positions * panels * tiles * width);
        products
            .par_chunks_mut(tiles * width)
            .enumerate()
            .for_each(|(i, target)| {
                let position = i / panels;
                let packed = &self.pass.filter.data()[i * self.pass.sweep.in_channels * width..]
                    [..self.pass.sweep.in_channels * width];
                kernel.run(MultiplyPanel {
                    inputs: &inputs,
                    pitch,
                    position,
                    positions,
                    packed,
                    target,
                    width,
                    block_tiles,
                });
            });
        rows.par_iter_mut().enumerate().for_each(|(i, row)| {
            let first = i * columns;
            kernel.run(WriteRow {
                layer: self,
                products: &products,
                tiles,
                first,
                row,
            });
        });
    }
}

struct ReadBlock<'a, T> {
    layer: &'a Layer<'a, T>,
    places: &'a [(usize, usize)],
    first: usize,
    target: &'a mut [f32],
}

impl<T: Tile> Job for ReadBlock<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pitch = self.layer.domain.pitch;
        let tiles = self.target.len() / (T::IN * T::IN * pitch);
        for t in 0..tiles {
            let target = Scattered {
                data: &mut self.target[t * pitch..],
                stride: tiles * pitch,
            };
            self.layer.prefetch(simd, self.places, self.first + t + 1);
            let place = self.layer.place(self.places, self.first + t);
            self.layer.read(simd, place, target);
        }
    }
}

struct MultiplyPanel<'a> {
    inputs: &'a [f32],
    pitch: usize,
    position: usize,
    positions: usize,
    packed: &'a [f32],
    target: &'a mut [f32],
    width: usize,
    block_tiles: usize,
}

impl Job for MultiplyPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            inputs,
            pitch,
            position,
            positions,
            packed,
            target,
            width,
            block_tiles,
        } = self;
        let block = positions * block_tiles * pitch;
        let b = Strided {
            data: packed,
            row_stride: 0,
            step_stride: width,
        };
        for (inputs, target) in inputs
            .chunks(block)
            .zip(target.chunks_mut(block_tiles * width))
        {
            let tiles = inputs.len() / (positions * pitch);
            let data = &inputs[position * tiles * pitch..];
            let a = Strided {
                data,
                row_stride: pitch,
                step_stride: 1,
            };
            multiply_panel(simd, (tiles, packed.len() / width), a, b, target);
        }
    }
}

struct WriteRow<'a, 'b, T> {
    layer: &'a Layer<'a, T>,
    products: &'a [f32],
    tiles: usize,
    first: usize,
    row: &'a mut TileRow<'b>,
}

impl<T: Tile> Job for WriteRow<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Domain {
            columns,
            panels,
            width,
            ..
        } = self.layer.domain;
        let panel_stride = self.tiles * width;
        for column in 0..columns {
            let data = &self.products[(self.first + column) * width..];
            let products = Products {
                data,
                stride: panels * panel_stride,
            };
            self.layer.write(
                simd,
                (products, panel_stride),
                column,
                &mut *self.row.output,
            );
        }
    }
}
