//! The convolution: blocks of tiles through transform, products, transform.

use rayon::prelude::*;

use super::Tile;
use super::output::{TileRow, write_tile};
use super::pack::position_pitch;
use super::transform::{Products, Rows, Scattered, input_tile, prefetch_tile};
use super::upstream::Upstream;
use crate::kernels::conv::Pass;
use crate::kernels::conv::sweep::Sweep;
use crate::kernels::gemm::{Strided, multiply_panel, pieces};
use crate::kernels::geometry::Size2;
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Simd};

/// Bytes of transformed input and output that a block of tiles may take, to
/// stay in a level-2 cache.
const BLOCK_BYTES: usize = 640 << 10;

/// Rows of tiles in a group at least where the rows read are made for it, so
/// that few are made twice.
const FUSED_ROWS: usize = 4;

/// Groups of rows of tiles, taken by threads one after the other.
const GROUPS: usize = 32;

/// Filters, channels in times channels out, from which on a filter is not
/// kept packed: a panel is transformed once for many tiles, instead of read
/// once for each block of them.
const SHARED_FROM: usize = 256 * 512;

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
        let columns = sweep.out_size.width.div_ceil(T::OUT);
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
fn tile_rows<'a, T: Tile>(pass: &Pass, output: &'a mut [f32]) -> Vec<TileRow<'a>> {
    let Size2 { height, width } = pass.out_size();
    let step = if pass.epilogue.pool { 2 } else { 1 };
    let line = width * pass.sweep.out_channels;
    let mut rows = Vec::with_capacity(pass.sweep.batch * height.div_ceil(T::OUT / step));
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

/// Whether the products of a filter with so many channels in and out are
/// formed a block of tiles at a time, from all of it packed.
pub(in crate::kernels::conv) fn is_blockwise((inputs, outputs): (usize, usize)) -> bool {
    inputs * outputs < SHARED_FROM
}

/// Runs the sweep; `output` as the epilogue's pool leaves it. Given `before`,
/// a direct convolution without a pool, it reads what that one makes, row by
/// row, instead of the pass's own source; the filter has to be blockwise.
pub(in crate::kernels::conv) fn run<T: Tile>(
    pass: &Pass,
    before: Option<&Pass>,
    output: &mut [f32],
) {
    if output.is_empty() {
        return;
    }
    let kernel = pass.filter.kernel();
    let domain = Domain::new::<T>(&pass.sweep, kernel.panel_width());
    let mut rows = tile_rows::<T>(pass, output);
    let layer = Layer::<T> {
        pass,
        before,
        domain,
        tile: Default::default(),
    };
    if !pass.filter.is_kept() {
        let tiles = SHARED_BYTES / domain.tile_bytes::<T>();
        for rows in rows.chunks_mut((tiles / domain.columns).max(1)) {
            layer.share(rows);
        }
    } else {
        // Whole register tiles, for which the products are fastest.
        let whole = kernel.tile_rows();
        let fitting = BLOCK_BYTES / domain.tile_bytes::<T>() / whole * whole;
        let tiles = fitting.max(kernel.sharing_rows());
        let least = if before.is_some() { FUSED_ROWS } else { 1 };
        let group = rows.len().div_ceil(GROUPS);
        let group = group.max(tiles / domain.columns).max(least);
        rows.par_chunks_mut(group).for_each(|rows| {
            kernel.run(Group {
                layer: &layer,
                rows,
                tiles,
            });
        });
    }
}

/// One convolution on its way.
pub(super) struct Layer<'a, T> {
    pub pass: &'a Pass<'a>,
    pub before: Option<&'a Pass<'a>>,
    pub domain: Domain,
    pub tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Layer<'_, T> {
    /// Transforms the input of the tile at `place`, (image, row, column).
    #[inline(always)]
    pub fn read<S: Simd>(&self, simd: S, place: (usize, usize, usize), target: Scattered) {
        let (image, row, column) = place;
        let Pass { sweep, source, .. } = self.pass;
        let image = source.slice(image * sweep.in_image()..(image + 1) * sweep.in_image());
        let rows = Rows {
            image,
            kept: sweep.in_size.height,
        };
        input_tile::<S, T>(simd, sweep, rows, (row, column), target);
    }

    /// Where tile `tile` of these rows lies.
    #[inline(always)]
    pub fn place(&self, rows: &[(usize, usize)], tile: usize) -> (usize, usize, usize) {
        let (image, row) = rows[tile / self.domain.columns];
        (image, row, tile % self.domain.columns * T::OUT)
    }

    /// Asks for the input of tile `tile` of these rows, or of the rows below.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, simd: S, rows: &[(usize, usize)], tile: usize) {
        if self.before.is_some() {
            return;
        }
        let index = tile / self.domain.columns;
        let (image, row) = match rows.get(index) {
            Some(&place) => place,
            None => match rows.last() {
                Some(&(image, row)) => (image, row + T::OUT * (index + 1 - rows.len())),
                None => return,
            },
        };
        let Pass { sweep, source, .. } = self.pass;
        let image = source.slice(image * sweep.in_image()..(image + 1) * sweep.in_image());
        let column = tile % self.domain.columns * T::OUT;
        prefetch_tile::<S, T>(simd, sweep, image, (row, column));
    }

    /// The products of `tiles` tiles from `first` on, while the next ones are
    /// asked for.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        (places, first, tiles): (&[(usize, usize)], usize, usize),
        inputs: &[f32],
        products: &mut [f32],
    ) {
        let Domain {
            pitch,
            panels,
            width,
            ..
        } = self.domain;
        let count = T::IN * T::IN * panels;
        let channels = self.pass.sweep.in_channels;
        let packed = self.pass.filter.packed().data();
        let position_pitch = position_pitch(panels * channels * width);
        for i in 0..count {
            for t in i * tiles / count..(i + 1) * tiles / count {
                self.prefetch(simd, places, first + tiles + t);
            }
            let data = &inputs[i / panels * tiles * pitch..];
            let a = Strided {
                data,
                row_stride: pitch,
                step_stride: 1,
            };
            let (position, panel) = (i / panels, i % panels);
            let b = Strided {
                data: &packed[position * position_pitch + panel * channels * width..],
                row_stride: 0,
                step_stride: width,
            };
            let target = &mut products[i * tiles * width..];
            multiply_panel(simd, (tiles, channels), a, b, target);
        }
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
        let channels = self.pass.sweep.out_channels;
        for channel in (0..channels).step_by(S::LANES) {
            let count = S::LANES.min(channels - channel);
            let (panel, lane) = (channel / self.domain.width, channel % self.domain.width);
            let data = &products.data[panel * panel_stride + lane..];
            let square = Products { data, ..products }.transform::<S, T>(simd);
            let place = (column * T::OUT, channel, count);
            write_tile::<S, T>(simd, square, self.pass, place, output);
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
        let places: Vec<_> = rows.iter().map(|row| (row.image, row.row)).collect();
        let mut inputs = scratch::lend(0, positions * most * pitch);
        let mut products = scratch::lend(1, positions * panels * most * width);
        let mut upstream = layer.before.map(Upstream::new::<T>);
        // What is made row by row is read row by row.
        let (lines, across) = match upstream {
            Some(_) => (rows.len(), columns),
            None => (1, rows.len() * columns),
        };
        for (first, tiles) in (0..lines)
            .flat_map(|line| pieces(across, most).map(move |(x, n)| (line * across + x, n)))
        {
            if let Some(upstream) = &mut upstream {
                upstream.make(layer.pass.sweep.padding.top, places[first / columns]);
            }
            for t in 0..tiles {
                let target = Scattered {
                    data: &mut inputs[t * pitch..],
                    stride: tiles * pitch,
                };
                let place = layer.place(&places, first + t);
                match &upstream {
                    None => layer.read(simd, place, target),
                    Some(upstream) => {
                        let place = (place.1, place.2);
                        input_tile::<S, T>(simd, &layer.pass.sweep, upstream.rows(), place, target);
                    }
                }
            }
            layer.multiply(simd, (&places, first, tiles), &inputs, &mut products);
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
