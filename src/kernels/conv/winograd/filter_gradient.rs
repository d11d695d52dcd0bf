//! The filter's gradient. In the transformed domain it is one matrix product
//! for each position: input channels by tiles by output channels.

use rayon::prelude::*;

use super::layer::Domain;
use super::tile::Tile;
use super::transform::{Map, Scattered, input_tile, spread_tile};
use crate::kernels::conv::call::FilterGradient;
use crate::kernels::conv::sweep::{Corner, Sweep};
use crate::kernels::gated::Gated;
use crate::kernels::gemm::{self, Panel, Product, Rows, accumulate, with_rows};
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, pieces};

/// The bytes of transformed input and gradient in memory at a time: twice the bytes
/// of the sums, clamped to this range. One row of tiles is always allowed.
const HELD_BYTES: std::ops::RangeInclusive<usize> = 6 << 20..=64 << 20;

/// Tiles in a block. A block is `(positions, tiles, channels)` in memory.
const BLOCK_TILES: usize = 16;

/// Writes the filter's gradient to `target`, `(O, I, 3, 3)`, and the bias's to
/// `bias`, `(O)`, unless that is empty.
pub(in crate::kernels::conv) fn filter_gradient<T: Tile>(
    kernel: Kernel,
    sweep: &Sweep,
    gradient: &FilterGradient,
    target: &mut [f32],
    bias: &mut [f32],
) {
    let domain = Domain::new::<T>(sweep, kernel.nr());
    let Domain {
        columns,
        panels,
        nr,
        pitch,
    } = domain;
    let out_pitch = panels * nr + 16;
    let positions = T::IN * T::IN;
    let layer = Layer {
        kernel,
        sweep,
        gradient,
        domain,
        out_pitch,
    };
    let rows = sweep.batch * sweep.out_size.height.div_ceil(T::OUT);
    let row_bytes = columns * positions * (pitch + out_pitch) * size_of::<f32>();
    let mut sums = scratch::lend(Slot::Sums, positions * panels * sweep.in_channels * nr);
    let held = (2 * size_of_val::<[f32]>(&sums)).clamp(*HELD_BYTES.start(), *HELD_BYTES.end());
    bias.fill(0.0);
    for Span { start, count } in pieces(rows, (held / row_bytes).max(1)) {
        let tiles = Span {
            start: start * columns,
            count: count * columns,
        };
        layer.add::<T>(tiles, &mut sums, bias);
    }
    let filters = nr * sweep.in_channels * 9;
    target
        .par_chunks_mut(filters)
        .enumerate()
        .for_each(|(panel, target)| {
            kernel.run(Finish::<T> {
                layer: &layer,
                sums: &sums,
                panel,
                target,
                tile: Default::default(),
            });
        });
}

struct Layer<'a> {
    kernel: Kernel,
    sweep: &'a Sweep,
    gradient: &'a FilterGradient<'a>,
    domain: Domain,
    out_pitch: usize,
}

impl Layer<'_> {
    /// Adds the products of some tiles to `sums`, which the first tiles
    /// overwrite. Adds the output gradient of these tiles to `bias`.
    fn add<T: Tile>(&self, tiles: Span, sums: &mut [f32], bias: &mut [f32]) {
        let (first, count) = (tiles.start, tiles.count);
        let Domain {
            pitch, panels, nr, ..
        } = self.domain;
        let positions = T::IN * T::IN;
        let mut inputs = scratch::lend(Slot::Input, count * positions * pitch);
        let mut grads = scratch::lend(Slot::Output, count * positions * self.out_pitch);
        let blocks = count.div_ceil(BLOCK_TILES);
        let mut parts = scratch::lend(Slot::BiasSums, blocks * bias.len());
        let block = positions * BLOCK_TILES;
        inputs
            .par_chunks_mut(block * pitch)
            .enumerate()
            .for_each(|(i, target)| {
                self.read::<T>(first + i * BLOCK_TILES, None, target);
            });
        let mut sinks: Vec<&mut [f32]> = match bias.len() {
            0 => (0..blocks).map(|_| Default::default()).collect(),
            len => parts.chunks_exact_mut(len).collect(),
        };
        grads
            .par_chunks_mut(block * self.out_pitch)
            .zip(sinks.par_iter_mut())
            .enumerate()
            .for_each(|(i, (target, sink))| {
                sink.fill(0.0);
                self.read::<T>(first + i * BLOCK_TILES, Some(&mut sink[..]), target);
            });
        for part in sinks {
            for (sum, value) in bias.iter_mut().zip(part) {
                *sum += *value;
            }
        }
        let panel_len = self.sweep.in_channels * nr;
        sums.par_chunks_mut(panel_len)
            .enumerate()
            .for_each(|(i, sums)| {
                let (position, panel) = (i / panels, i % panels);
                self.kernel.run(Add {
                    layer: self,
                    positions,
                    position,
                    inputs: &inputs,
                    grads: &grads,
                    panel,
                    fresh: first == 0,
                    sums,
                });
            });
    }

    /// Transforms a block of tiles of the input. If `spread` is given,
    /// transforms the output gradient instead, and adds it to `spread`.
    fn read<T: Tile>(&self, first: usize, spread: Option<&mut [f32]>, target: &mut [f32]) {
        let pitch = match spread {
            Some(_) => self.out_pitch,
            None => self.domain.pitch,
        };
        self.kernel.run(Read::<T> {
            layer: self,
            spread,
            first,
            pitch,
            target,
            tile: Default::default(),
        });
    }
}

struct Read<'a, T> {
    layer: &'a Layer<'a>,
    /// If the output gradient is read, the sums to which it is added.
    spread: Option<&'a mut [f32]>,
    first: usize,
    pitch: usize,
    target: &'a mut [f32],
    tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Job for Read<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            layer,
            mut spread,
            first,
            pitch,
            target,
            ..
        } = self;
        let (sweep, gradient, columns) = (layer.sweep, layer.gradient, layer.domain.columns);
        let tiles = target.len() / (T::IN * T::IN * pitch);
        let rows = sweep.out_size.height.div_ceil(T::OUT);
        for t in 0..tiles {
            let (row, column) = ((first + t) / columns, (first + t) % columns);
            let (image, row) = (row / rows, row % rows);
            let (row, column) = (row * T::OUT, column * T::OUT);
            let target = Scattered {
                data: &mut target[t * pitch..],
                stride: tiles * pitch,
            };
            if let Some(sums) = &mut spread {
                let map = Map::of_output(sweep, gradient.grad_output, image);
                let corner = Corner {
                    top: row as isize,
                    left: column as isize,
                };
                spread_tile::<S, T>(simd, map, corner, sums, target);
            } else {
                let map = Map::of_input(sweep, Gated::from(gradient.input), image);
                input_tile::<S, T>(simd, map, sweep.corner(row, column), target);
            }
        }
    }
}

struct Add<'a> {
    layer: &'a Layer<'a>,
    /// The number of positions in a transformed tile.
    positions: usize,
    position: usize,
    inputs: &'a [f32],
    grads: &'a [f32],
    panel: usize,
    fresh: bool,
    sums: &'a mut [f32],
}

impl Job for Add<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for Span { start, count } in pieces(self.layer.sweep.in_channels, S::MR) {
            with_rows!(count, S, add_tile(simd, &mut self, start));
        }
    }
}

#[inline(always)]
fn add_tile<S: Simd, const M: usize>(simd: S, add: &mut Add, channel: usize) {
    let Domain { pitch, nr, .. } = add.layer.domain;
    let out_pitch = add.layer.out_pitch;
    let mut tile = [[simd.splat(0.0); 2]; M];
    let inputs = add.inputs.chunks(add.positions * BLOCK_TILES * pitch);
    let grads = add.grads.chunks(add.positions * BLOCK_TILES * out_pitch);
    for (inputs, grads) in inputs.zip(grads) {
        let tiles = inputs.len() / (add.positions * pitch);
        let a = Rows {
            data: &inputs[add.position * tiles * pitch + channel..],
            row_stride: 1,
            step_stride: pitch,
        };
        let b = Panel {
            data: &grads[add.position * tiles * out_pitch + add.panel * nr..],
            step_stride: out_pitch,
        };
        let steps = tiles;
        accumulate(simd, Product { steps, a, b }, &mut tile);
    }
    let sums = &mut add.sums[channel * nr..(channel + M) * nr];
    if add.fresh {
        gemm::store_tile(simd, &tile, sums, nr);
    } else {
        gemm::add_tile(simd, &tile, sums, nr);
    }
}

struct Finish<'a, T> {
    layer: &'a Layer<'a>,
    sums: &'a [f32],
    panel: usize,
    target: &'a mut [f32],
    tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Job for Finish<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Domain { panels, nr, .. } = self.layer.domain;
        let channels = self.layer.sweep.in_channels;
        let stride = panels * channels * nr;
        let filters = self.target.len() / (channels * 9);
        for channel in 0..channels {
            for lane in (0..filters).step_by(S::LANES) {
                let start = (self.panel * channels + channel) * nr + lane;
                let taps = taps::<S, T>(simd, &self.sums[start..], stride);
                for output in lane..filters.min(lane + S::LANES) {
                    let target = &mut self.target[(output * channels + channel) * 9..][..9];
                    for (target, tap) in target.iter_mut().zip(&taps) {
                        *target = tap[output - lane];
                    }
                }
            }
        }
    }
}

/// `G^T u G` of a vector of filters: nine taps.
#[inline(always)]
fn taps<S: Simd, T: Tile>(simd: S, sums: &[f32], stride: usize) -> [[f32; 16]; 9] {
    assert!((T::IN * T::IN - 1) * stride + S::LANES <= sums.len());
    let zero = simd.splat(0.0);
    let mut columns = [[zero; 6]; 3];
    for i in 0..T::IN {
        let mut line = [zero; 6];
        for (j, value) in line.iter_mut().enumerate().take(T::IN) {
            let scale = simd.splat((T::SCALE[i] * T::SCALE[j]) as f32);
            // SAFETY: by the assert above, the last position lies inside `sums`.
            let sum = unsafe { simd.load(sums.as_ptr().add((i * T::IN + j) * stride)) };
            *value = simd.mul(scale, sum);
        }
        let line = T::taps(simd, line);
        for (column, value) in columns.iter_mut().zip(line) {
            column[i] = value;
        }
    }
    let mut taps = [[0.0; 16]; 9];
    for (kx, column) in columns.into_iter().enumerate() {
        for (ky, value) in T::taps(simd, column).into_iter().enumerate() {
            // SAFETY: no instruction set has more than 16 lanes.
            unsafe { simd.store(taps[ky * 3 + kx].as_mut_ptr(), value) }
        }
    }
    taps
}
