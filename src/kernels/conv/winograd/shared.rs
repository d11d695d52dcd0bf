//! Deep layers: each panel of their filters is transformed once for many
//! tiles, by one of the threads that share these.

use rayon::prelude::*;

use super::Tile;
use super::forward::{Domain, Layer};
use super::output::TileRow;
use super::pack::{pack_panel, position_pitch};
use super::transform::{Products, Scattered};
use crate::kernels::gemm::{Strided, multiply_panel};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Simd};

/// Tiles that lie together in the shared transformed input at most.
const BLOCK_TILES: usize = 14;

/// The scratch memory for a packed panel.
const PACKED: usize = 7;

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
        let mut products = scratch::lend(1, panels * positions * tiles * width);
        products
            .par_chunks_mut(positions * tiles * width)
            .enumerate()
            .for_each(|(panel, target)| {
                kernel.run(MultiplyPanel {
                    layer: self,
                    panel,
                    inputs: &inputs,
                    target,
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

/// The products of a panel of filters with all tiles, position by position.
struct MultiplyPanel<'a, T> {
    layer: &'a Layer<'a, T>,
    panel: usize,
    inputs: &'a [f32],
    target: &'a mut [f32],
    block_tiles: usize,
}

impl<T: Tile> Job for MultiplyPanel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            layer,
            panel,
            inputs,
            target,
            block_tiles,
        } = self;
        let Domain { pitch, width, .. } = layer.domain;
        let channels = layer.pass.sweep.in_channels;
        let positions = T::IN * T::IN;
        let position_pitch = position_pitch(channels * width);
        let mut packed = scratch::lend(PACKED, positions * position_pitch);
        let mut targets: Vec<_> = packed.chunks_exact_mut(position_pitch).collect();
        pack_panel::<S, T>(simd, layer.pass.filter.weights(), panel, &mut targets);
        let block = positions * block_tiles * pitch;
        let products = target.len() / positions;
        for (position, target) in target.chunks_exact_mut(products).enumerate() {
            let b = Strided {
                data: &packed[position * position_pitch..],
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
                multiply_panel(simd, (tiles, channels), a, b, target);
            }
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
        let Domain { columns, width, .. } = self.layer.domain;
        let stride = self.tiles * width;
        for column in 0..columns {
            let data = &self.products[(self.first + column) * width..];
            let products = Products { data, stride };
            self.layer.write(
                simd,
                (products, T::IN * T::IN * stride),
                column,
                &mut *self.row.output,
            );
        }
    }
}
