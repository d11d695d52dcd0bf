//! Filters into the transformed domain, a panel at a time.

use rayon::prelude::*;

use super::{Line, Tile};
use crate::kernels::conv::weights::{Block, INPUTS, Weights};
use crate::kernels::simd::{Job, Kernel, Simd};

/// Numbers from one position of a filter, or of a panel of it, to the next: a
/// line more than `len`, so that positions don't share a cache set.
pub(super) fn position_pitch(len: usize) -> usize {
    len + 16
}

/// Numbers in a packed filter, `(IN * IN, panels, I, width)`.
pub(in crate::kernels::conv) fn packed_len<T: Tile>(
    kernel: Kernel,
    (inputs, outputs): (usize, usize),
) -> usize {
    let width = kernel.panel_width();
    T::IN * T::IN * position_pitch(outputs.div_ceil(width) * inputs * width)
}

/// Packs every panel of a filter.
pub(in crate::kernels::conv) fn pack<T: Tile>(kernel: Kernel, weights: Weights, data: &mut [f32]) {
    let (inputs, outputs) = weights.channels();
    let width = kernel.panel_width();
    let panels = outputs.div_ceil(width);
    let len = panels * inputs * width;
    let mut by_panel: Vec<Vec<&mut [f32]>> = (0..panels).map(|_| Vec::new()).collect();
    for position in data.chunks_exact_mut(position_pitch(len)) {
        let panels = position[..len].chunks_exact_mut(inputs * width);
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
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        pack_panel::<S, T>(simd, self.weights, self.panel, &mut self.targets);
    }
}

/// Writes `G g G^T` of the filters of a panel, a slice `(I, width)` a
/// position; lanes without a filter are 0.
#[inline(always)]
pub(super) fn pack_panel<S: Simd, T: Tile>(
    simd: S,
    weights: Weights,
    panel: usize,
    targets: &mut [&mut [f32]],
) {
    let (inputs, _) = weights.channels();
    let width = 2 * S::LANES;
    let mut block = Block::new(weights);
    for first in (0..inputs).step_by(INPUTS) {
        for lane in [0, S::LANES] {
            let inputs = first..inputs.min(first + INPUTS);
            block.fill(simd, inputs.clone(), panel * width + lane);
            for input in inputs {
                let taps = block.taps(simd, input);
                write_filters::<S, T>(simd, taps, input * width + lane, targets);
            }
        }
    }
}

/// Transforms a vector of filters; it goes to `place` in each position.
#[inline(always)]
fn write_filters<S: Simd, T: Tile>(
    simd: S,
    taps: [S::Vector; 9],
    place: usize,
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
            let target = &mut targets[i * T::IN + j][place..place + S::LANES];
            // SAFETY: the slice just taken holds a vector.
            unsafe { simd.store(target.as_mut_ptr(), simd.mul(scale, value)) }
        }
    }
}
