//! Transforms filters, one panel at a time.

use rayon::prelude::*;

use super::tile::{Line, Tile};
use crate::kernels::conv::weights::{Block, INPUTS, Shape, Weights};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::chunks;

/// Filters with at least this product of input and output channels are not kept
/// packed. A panel is then transformed once for many tiles, instead of read
/// again for each block of tiles.
const SHARED_FROM: usize = 256 * 512;

/// Whether a filter is kept packed. It is then multiplied with one block of
/// tiles at a time.
pub(in crate::kernels::conv) fn is_blockwise(shape: Shape) -> bool {
    shape.in_channels * shape.out_channels < SHARED_FROM
}

/// The distance between positions of a filter or panel with `len` values per
/// position: one cache line more, since positions must not share a cache set.
pub(super) fn position_pitch(len: usize) -> usize {
    len + 16
}

/// The number of values in a packed filter, `(IN * IN, panels, I, NR)`.
pub(in crate::kernels::conv) fn packed_len<T: Tile>(kernel: Kernel, shape: Shape) -> usize {
    let nr = kernel.nr();
    T::IN * T::IN * position_pitch(shape.out_channels.div_ceil(nr) * shape.in_channels * nr)
}

pub(in crate::kernels::conv) fn pack<T: Tile>(kernel: Kernel, weights: Weights, data: &mut [f32]) {
    let inputs = weights.shape.in_channels;
    let nr = kernel.nr();
    let panels = weights.shape.out_channels.div_ceil(nr);
    let len = panels * inputs * nr;
    let mut by_panel: Vec<Vec<&mut [f32]>> = (0..panels).map(|_| Vec::new()).collect();
    for position in data.chunks_exact_mut(position_pitch(len)) {
        let panels = position[..len].chunks_exact_mut(inputs * nr);
        for (targets, panel) in by_panel.iter_mut().zip(panels) {
            targets.push(panel);
        }
    }
    by_panel
        .into_par_iter()
        .enumerate()
        .for_each(|(panel, targets)| {
            kernel.run(Pack::<T> {
                weights,
                panel,
                targets,
                tile: Default::default(),
            });
        });
}

struct Pack<'a, T> {
    weights: Weights<'a>,
    panel: usize,
    targets: Vec<&'a mut [f32]>,
    tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Job for Pack<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        pack_panel::<S, T>(simd, self.weights, self.panel, &mut self.targets);
    }
}

/// Writes `G g G^T` of the filters of a panel: a slice `(I, NR)` for each
/// position. Lanes without a filter are 0.
#[inline(always)]
pub(super) fn pack_panel<S: Simd, T: Tile>(
    simd: S,
    weights: Weights,
    panel: usize,
    targets: &mut [&mut [f32]],
) {
    let mut block = Block::new(weights);
    for inputs in chunks(weights.shape.in_channels, INPUTS) {
        for lane in [0, S::LANES] {
            block.fill(simd, inputs, panel * S::NR + lane);
            for input in inputs.range() {
                let taps = block.taps(simd, input);
                write_filters::<S, T>(simd, taps, input * S::NR + lane, targets);
            }
        }
    }
}

/// Transforms a vector of filters and writes it to each position, at `start`.
#[inline(always)]
fn write_filters<S: Simd, T: Tile>(
    simd: S,
    taps: [S::Vector; 9],
    start: usize,
    targets: &mut [&mut [f32]],
) {
    let [a, b, c, d, e, f, g, h, i] = taps;
    let columns: [Line<S::Vector>; 3] = [
        T::filter(simd, [a, d, g]),
        T::filter(simd, [b, e, h]),
        T::filter(simd, [c, f, i]),
    ];
    for i in 0..T::IN {
        let line = T::filter(simd, [columns[0][i], columns[1][i], columns[2][i]]);
        for (j, value) in line.into_iter().enumerate().take(T::IN) {
            let scale = simd.splat((T::SCALE[i] * T::SCALE[j]) as f32);
            let target = &mut targets[i * T::IN + j][start..start + S::LANES];
            // SAFETY: the slice just taken holds a vector.
            unsafe { simd.store(target.as_mut_ptr(), simd.mul(scale, value)) }
        }
    }
}
