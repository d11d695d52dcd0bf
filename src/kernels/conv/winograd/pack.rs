//! Filters into the transformed domain.

use rayon::prelude::*;

use super::Tile;
use crate::kernels::conv::filter::Weights;
use crate::kernels::simd::{Job, Kernel, Simd};

/// Output channels of the widest panel.
const MOST: usize = 32;

/// Inputs transformed together: positions lie a power of two apart, too far
/// for a cache to hold them all line by line.
const INPUTS: usize = 8;

/// Writes `G g G^T` of every filter, `(IN * IN, panels, I, width)`; computed
/// in double precision and rounded once.
pub(in crate::kernels::conv) fn pack<T: Tile>(kernel: Kernel, weights: Weights, data: &mut [f32]) {
    let (ins, outs) = weights.channels();
    let width = kernel.panel_width();
    let panels = outs.div_ceil(width);
    let mut by_panel: Vec<Vec<&mut [f32]>> = (0..panels).map(|_| Vec::new()).collect();
    for (i, chunk) in data.chunks_exact_mut(ins * width).enumerate() {
        by_panel[i % panels].push(chunk);
    }
    by_panel
        .into_par_iter()
        .enumerate()
        .for_each(|(panel, targets)| {
            let outputs = panel * width..outs.min((panel + 1) * width);
            let tile = std::marker::PhantomData::<T>;
            kernel.run(Panel {
                weights,
                outputs,
                width,
                targets,
                tile,
            });
        });
}

struct Panel<'a, T> {
    weights: Weights<'a>,
    outputs: std::ops::Range<usize>,
    width: usize,
    /// One slice `(I, width)` a position.
    targets: Vec<&'a mut [f32]>,
    tile: std::marker::PhantomData<T>,
}

impl<T: Tile> Job for Panel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let (width, inputs) = (self.width, self.weights.channels().0);
        let mut block = [[0.0f32; MOST * INPUTS]; 36];
        for first in (0..inputs).step_by(INPUTS) {
            let count = INPUTS.min(inputs - first);
            for i in 0..count {
                let taps = self.taps(first + i);
                transform::<T>(&taps, width, i * width, &mut block);
            }
            for (target, block) in self.targets.iter_mut().zip(&block) {
                let len = count * width;
                target[first * width..][..len].copy_from_slice(&block[..len]);
            }
        }
    }
}

impl<T> Panel<'_, T> {
    /// The nine taps of every filter from `input`.
    #[inline(always)]
    fn taps(&self, input: usize) -> [[f64; MOST]; 9] {
        let mut taps = [[0.0; MOST]; 9];
        for (lane, output) in self.outputs.clone().enumerate() {
            for (tap, values) in taps.iter_mut().enumerate() {
                values[lane] = f64::from(self.weights.at(0, (input, output), (tap / 3, tap % 3)));
            }
        }
        taps
    }
}

#[inline(always)]
fn transform<T: Tile>(
    taps: &[[f64; MOST]; 9],
    width: usize,
    start: usize,
    block: &mut [[f32; MOST * INPUTS]; 36],
) {
    for i in 0..T::IN {
        let [low, middle, high] = T::FILTER[i];
        let mut row = [[0.0; MOST]; 3];
        for (kx, row) in row.iter_mut().enumerate() {
            for (lane, value) in row.iter_mut().enumerate() {
                *value =
                    low * taps[kx][lane] + middle * taps[3 + kx][lane] + high * taps[6 + kx][lane];
            }
        }
        for j in 0..T::IN {
            let [low, middle, high] = T::FILTER[j];
            let mut sums = [0.0f32; MOST];
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = (low * row[0][lane] + middle * row[1][lane] + high * row[2][lane]) as f32;
            }
            block[i * T::IN + j][start..start + width].copy_from_slice(&sums[..width]);
        }
    }
}
