//! The convolution: blocks of tiles through transform, products, transform.

use rayon::prelude::*;

use super::Tile;
use super::transform::{Products, Scattered, TileRow, input_tile, prefetch_tile, write_tile};
use crate::kernels::conv::filter::PackedFilter;
use crate::kernels::conv::sweep::{Source, Sweep};
use crate::kernels::conv::{Epilogue, Output};
use crate::kernels::gemm::{Strided, multiply_panel};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Simd};

/// Bytes of transformed input and output that a block of tiles may take, to
/// stay in a level-2 cache.
const BLOCK_BYTES: usize = 640 << 10;

/// Tiles in a block at least, so that filters are not read too often.
const MIN_TILES: usize = 12;

/// Groups of rows of tiles, taken by threads one after the other.
const GROUPS: usize = 32;

/// Bytes of a filter in the transformed domain from which on it is read once
/// for many tiles, by all threads, instead of once a block.
const SHARED_FROM: usize = 24 << 20;

/// Bytes of transformed input and output that all threads share at most.
const SHARED_BYTES: usize = 32 << 20;

/// Sizes of the transformed domain.
#[derive(Clone, Copy)]
pub(super) struct Domain {
    /// Tiles in a row of tiles.
    pub columns: usize,
    /// Numbers from one tile's input channels to the next's.
    pub pitch: usize,
    /// Panels of output channels.
    pub panels: usize,
    /// Output channels in a panel.
    pub width: usize,
}

impl Domain {
    pub fn new<T: Tile>(sweep: &Sweep, width: usize) -> Self {
        // One line more than the channels, so that tiles don't share a
        // cache set.
        let pitch = sweep.in_channels.next_multiple_of(16) + 16;
        let columns = sweep.out_size.1.div_ceil(T::OUT);
        Self {
            columns,
            pitch,
            panels: sweep.out_channels.div_ceil(width),
            width,
        }
    }

    /// Bytes that a tile takes in the transformed domain.
    fn tile_bytes<T: Tile>(&self) -> usize {
        T::IN * T::IN * (self.pitch + self.panels * self.width) * size_of::<f32>()
    }
}

/// Cuts the output into rows of tiles.
fn tile_rows<'a, T: Tile>(
    sweep: &Sweep,
    epilogue: &Epilogue,
    output: &'a mut [f32],
) -> Vec<TileRow<'a>> {
    let (height, width) = Output::size(sweep, epilogue);
    let step = if epilogue.pool { 2 } else { 1 };
    let line = width * sweep.out_channels;
    let mut rows = Vec::with_capacity(sweep.batch * height.div_ceil(T::OUT / step));
    for (image, output) in output.chunks_exact_mut(height * line).enumerate() {
        for (i, output) in output.chunks_mut(T::OUT / step * line).enumerate() {
            rows.push(TileRow {
                image,
                row: i * T::OUT,
                output,
            });
        }
    }
    rows
}

/// Runs the sweep; `output` as the epilogue's pool leaves it.
pub(in crate::kernels::conv) fn run<T: Tile>(
    sweep: &Sweep,
    filter: &PackedFilter,
    source: Source,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    if output.is_empty() {
        return;
    }
    let domain = Domain::new::<T>(sweep, filter.kernel().panel_width());
    let mut rows = tile_rows::<T>(sweep, epilogue, output);
    let layer = Layer::<T> {
        sweep,
        filter,
        source,
        epilogue,
        domain,
        tile: Default::default(),
    };
    if filter.bytes() >= SHARED_FROM {
        let tiles = SHARED_BYTES / domain.tile_bytes::<T>();
        for rows in rows.chunks_mut((tiles / domain.columns).max(1)) {
            layer.share(rows);
        }
    } else {
        // Whole register tiles, for which the products are fastest.
        let whole = filter.kernel().tile_rows();
        let tiles =
            (BLOCK_BYTES / domain.tile_bytes::<T>() / whole * whole).max(whole.max(MIN_TILES));
        let group = rows.len().div_ceil(GROUPS).max(tiles / domain.columns);
        rows.par_chunks_mut(group).for_each(|rows| {
            filter.kernel().run(Group {
                layer: &layer,
                rows,
                tiles,
            });
        });
    }
}

/// One convolution on its way.
pub(super) struct Layer<'a, T> {
    pub sweep: &'a Sweep,
    pub filter: &'a PackedFilter,
    pub source: Source<'a>,
    pub epilogue: &'a Epilogue<'a>,
    pub domain: Domain,
    pub tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Layer<'_, T> {
    /// Transforms the input of tile `tile` of these rows.
    #[inline(always)]
    pub fn read<S: Simd>(&self, simd: S, rows: &[(usize, usize)], tile: usize, target: Scattered) {
        let (image, row) = rows[tile / self.domain.columns];
        let image = self
            .source
            .slice(image * self.sweep.in_image()..(image + 1) * self.sweep.in_image());
        let column = tile % self.domain.columns * T::OUT;
        input_tile::<S, T>(simd, self.sweep, image, (row, column), target);
    }

    /// Asks for the input of tile `tile` of these rows, or of the rows below.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, simd: S, rows: &[(usize, usize)], tile: usize) {
        let index = tile / self.domain.columns;
        let (image, row) = match rows.get(index) {
            Some(&place) => place,
            None => match rows.last() {
                Some(&(image, row)) => (image, row + T::OUT * (index + 1 - rows.len())),
                None => return,
            },
        };
        let image = self
            .source
            .slice(image * self.sweep.in_image()..(image + 1) * self.sweep.in_image());
        let column = tile % self.domain.columns * T::OUT;
        prefetch_tile::<S, T>(simd, self.sweep, image, (row, column));
    }

    /// Transforms the products of tile `tile` of these rows back;
    /// `products(panel)` are the tile's.
    #[inline(always)]
    pub fn write<S: Simd>(
        &self,
        simd: S,
        products: (Products, usize),
        column: usize,
        output: &mut [f32],
    ) {
        let (products, panel_stride) = products;
        for channel in (0..self.sweep.out_channels).step_by(S::LANES) {
            let count = S::LANES.min(self.sweep.out_channels - channel);
            let (panel, lane) = (channel / self.domain.width, channel % self.domain.width);
            let data = &products.data[panel * panel_stride + lane..];
            let square = Products { data, ..products }.transform::<S, T>(simd);
            let place = (column * T::OUT, channel, count);
            write_tile::<S, T>(simd, square, (self.sweep, self.epilogue), place, output);
        }
    }
}

struct Group<'a, 'b, T> {
    layer: &'a Layer<'a, T>,
    rows: &'a mut [TileRow<'b>],
    tiles: usize,
}

impl<T: Tile> Job for Group<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            layer,
            rows,
            tiles: most,
        } = self;
        let Domain {
            columns,
            pitch,
            panels,
            width,
        } = layer.domain;
        let positions = T::IN * T::IN;
        let channels = layer.sweep.in_channels;
        let places: Vec<_> = rows.iter().map(|row| (row.image, row.row)).collect();
        let mut inputs = scratch::lend(0, positions * most * pitch);
        let mut products = scratch::lend(1, positions * panels * most * width);
        let all = rows.len() * columns;
        for first in (0..all).step_by(most) {
            let tiles = most.min(all - first);
            for t in 0..tiles {
                let target = Scattered {
                    data: &mut inputs[t * pitch..],
                    stride: tiles * pitch,
                };
                layer.read(simd, &places, first + t, target);
            }
            let products_count = positions * panels;
            for i in 0..products_count {
                let share = i * tiles / products_count..(i + 1) * tiles / products_count;
                for t in share {
                    layer.prefetch(simd, &places, first + tiles + t);
                }
                let data = &inputs[i / panels * tiles * pitch..];
                let a = Strided {
                    data,
                    row_stride: pitch,
                    step_stride: 1,
                };
                let data = &layer.filter.data()[i * channels * width..];
                let b = Strided {
                    data,
                    row_stride: 0,
                    step_stride: width,
                };
                let target = &mut products[i * tiles * width..];
                multiply_panel(simd, (tiles, channels), a, b, target);
            }
            for t in 0..tiles {
                let data = &products[t * width..];
                let data = Products {
                    data,
                    stride: panels * tiles * width,
                };
                let (row, column) = ((first + t) / columns, (first + t) % columns);
                layer.write(simd, (data, tiles * width), column, &mut *rows[row].output);
            }
        }
    }
}
