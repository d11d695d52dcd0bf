//! A convolution's sizes in the transformed domain, and its transforms.

use super::output::{TileChannels, TileRow, write_tile};
use super::tile::Tile;
use super::transform::{Map, Products, Scattered, input_tile, prefetch_tile};
use crate::kernels::conv::call::Pass;
use crate::kernels::conv::sweep::Sweep;
use crate::kernels::simd::Simd;
use crate::kernels::span::chunks;

/// Sizes of the transformed domain.
#[derive(Clone, Copy)]
pub(super) struct Domain {
    /// The number of tiles in a row of tiles.
    pub columns: usize,
    /// Distance between the inputs of neighboring tiles, in values.
    pub pitch: usize,
    pub panels: usize,
    /// Output channels in a panel.
    pub nr: usize,
}

impl Domain {
    pub fn new<T: Tile>(sweep: &Sweep, nr: usize) -> Self {
        // One cache line more than the channels: tiles must not share a cache set.
        let pitch = sweep.in_channels.next_multiple_of(16) + 16;
        let columns = sweep.out_size.width.div_ceil(T::OUT);
        Self {
            columns,
            pitch,
            panels: sweep.out_channels.div_ceil(nr),
            nr,
        }
    }

    /// Bytes that a tile takes in the transformed domain.
    pub fn tile_bytes<T: Tile>(&self) -> usize {
        T::IN * T::IN * (self.pitch + self.panels * self.nr) * size_of::<f32>()
    }
}

/// A Winograd convolution and its sizes.
pub(super) struct Layer<'a, T> {
    pub pass: &'a Pass<'a>,
    pub domain: Domain,
    /// Whether another convolution computes the input, row by row.
    pub fused: bool,
    pub tile: std::marker::PhantomData<T>,
}

#[derive(Clone, Copy)]
pub(super) struct TileStart {
    pub image: usize,
    pub row: usize,
    pub column: usize,
}

impl<'a, T: Tile> Layer<'a, T> {
    fn map(&self, image: usize) -> Map<'a> {
        Map::of_input(&self.pass.sweep, self.pass.source, image)
    }

    /// Transforms the input of a tile.
    #[inline(always)]
    pub fn read<S: Simd>(&self, simd: S, start: TileStart, target: Scattered) {
        let corner = self.pass.sweep.corner(start.row, start.column);
        input_tile::<S, T>(simd, self.map(start.image), corner, target);
    }

    #[inline(always)]
    pub fn start(&self, rows: &[TileRow], tile: usize) -> TileStart {
        let TileRow { image, row } = rows[tile / self.domain.columns];
        let column = tile % self.domain.columns * T::OUT;
        TileStart { image, row, column }
    }

    /// Prefetches the input of tile `tile` of `rows` or of the rows below.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, simd: S, rows: &[TileRow], tile: usize) {
        if self.fused {
            return;
        }
        let index = tile / self.domain.columns;
        let TileRow { image, row } = match rows.get(index) {
            Some(&row) => row,
            None => match rows.last() {
                Some(&TileRow { image, row }) => TileRow {
                    image,
                    row: row + T::OUT * (index + 1 - rows.len()),
                },
                None => return,
            },
        };
        let column = tile % self.domain.columns * T::OUT;
        let corner = self.pass.sweep.corner(row, column);
        prefetch_tile::<S, T>(simd, self.map(image), corner);
    }

    /// Transforms the products of the tile in column `column` back to `output`.
    #[inline(always)]
    pub fn write<S: Simd>(&self, simd: S, products: Products, column: usize, output: &mut [f32]) {
        for channels in chunks(self.pass.sweep.out_channels, S::LANES) {
            let (panel, lane) = (
                channels.start / self.domain.nr,
                channels.start % self.domain.nr,
            );
            let square = products.transform::<S, T>(simd, panel, lane);
            let tile = TileChannels {
                column: column * T::OUT,
                channels,
            };
            write_tile::<S, T>(simd, square, self.pass, tile, output);
        }
    }
}
