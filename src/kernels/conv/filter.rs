//! Filters in the order in which the kernels read them.

use rayon::prelude::*;

use super::algorithm::Algorithm;
use super::sweep::{Direction, Sweep};
use super::weights::{FilterWeights, Index, Shape, Weights};
use super::winograd::{self, Four, Two};
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::scratch::Aligned;
use crate::kernels::simd::Kernel;

/// A filter, transformed and packed for one kernel and one algorithm.
/// [`PackedFilter::update`] packs new weights. A large filter is not kept
/// packed: each convolution transforms its weights again.
#[derive(Clone, Debug)]
pub struct PackedFilter {
    pub(super) kernel: Kernel,
    pub(super) algorithm: Algorithm,
    direction: Direction,
    shape: Shape,
    /// The packed values, in the order in which the algorithm reads them.
    pub(super) data: Aligned,
}

/// A packed filter and its weights.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    pub(super) packed: &'a PackedFilter,
    pub(super) weights: Weights<'a>,
}

impl PackedFilter {
    /// Packs weights for [`super::conv2d`] or, in the other direction, for
    /// [`super::conv2d_input_gradient`]. `None` chooses the fastest algorithm
    /// for the geometry. If Winograd's does not apply, the direct one is used.
    ///
    /// # Panics
    /// If the lengths of `weights` do not match the geometry.
    pub fn pack(
        kernel: Kernel,
        geometry: &Conv2dGeometry,
        direction: Direction,
        algorithm: Option<Algorithm>,
        weights: FilterWeights,
    ) -> Self {
        let sweep = Sweep::new(geometry, direction);
        let shape = Shape::new(&sweep);
        let algorithm = match algorithm {
            None => Algorithm::choose(&sweep),
            Some(algorithm) if sweep.is_winograd() => algorithm,
            Some(_) => Algorithm::Direct,
        };
        let len = match algorithm {
            Algorithm::Direct => direct_len(kernel.nr(), shape),
            _ if !winograd::is_blockwise(shape) => 0,
            Algorithm::Winograd2 => winograd::packed_len::<Two>(kernel, shape),
            Algorithm::Winograd4 => winograd::packed_len::<Four>(kernel, shape),
        };
        let mut packed = Self {
            kernel,
            algorithm,
            direction,
            shape,
            data: Aligned::zeros(len),
        };
        packed.update(weights);
        packed
    }

    /// Packs other weights of the same shape into the same memory.
    ///
    /// # Panics
    /// If the lengths of `weights` do not match.
    pub fn update(&mut self, weights: FilterWeights) {
        assert_eq!(
            weights.values.len(),
            self.shape.len(),
            "length of the filter"
        );
        let weights = self.weights(weights);
        if !self.is_kept() {
            return;
        }
        match self.algorithm {
            Algorithm::Direct => pack_direct(self.kernel.nr(), weights, &mut self.data),
            Algorithm::Winograd2 => winograd::pack::<Two>(self.kernel, weights, &mut self.data),
            Algorithm::Winograd4 => winograd::pack::<Four>(self.kernel, weights, &mut self.data),
        }
    }

    /// The filter with the weights from which it was packed. A filter that is kept
    /// packed does not read them, and takes none as well.
    ///
    /// # Panics
    /// If the lengths of `weights` do not match.
    pub fn with<'a>(&'a self, weights: FilterWeights<'a>) -> Filter<'a> {
        let count = weights.values.len();
        let lacks_none = count == self.shape.len() || count == 0 && self.is_kept();
        assert!(lacks_none, "length of the filter");
        Filter {
            packed: self,
            weights: self.weights(weights),
        }
    }

    fn weights<'a>(&self, given: FilterWeights<'a>) -> Weights<'a> {
        let channels = match self.direction {
            Direction::Forward => self.shape.out_channels,
            Direction::InputGradient => self.shape.in_channels,
        };
        let scale = given.scale;
        assert!(
            scale.is_none_or(|scale| scale.len() == channels),
            "length of the scale"
        );
        Weights {
            shape: self.shape,
            given,
            direction: self.direction,
        }
    }

    /// Whether the filter is kept packed. If not, each convolution reads the
    /// weights.
    pub fn is_kept(&self) -> bool {
        self.algorithm == Algorithm::Direct || winograd::is_blockwise(self.shape)
    }

    pub(super) fn serves(&self, sweep: &Sweep, direction: Direction) -> bool {
        self.direction == direction
            && self.shape == Shape::new(sweep)
            && (self.algorithm == Algorithm::Direct || sweep.is_winograd())
    }

    /// Panels of a group for the direct algorithm, `(kH, kW, I / groups, NR)` each.
    #[inline(always)]
    pub(super) fn panels(&self, group: usize, range: std::ops::Range<usize>) -> &[f32] {
        let nr = self.kernel.nr();
        let len = self.shape.steps() * nr;
        let first = group * self.shape.outs().div_ceil(nr);
        &self.data[(first + range.start) * len..(first + range.end) * len]
    }
}

fn direct_len(nr: usize, shape: Shape) -> usize {
    shape.groups * shape.outs().div_ceil(nr) * shape.steps() * nr
}

/// Packs as `(groups, panels, kH, kW, I / groups, NR)`. Missing channels stay 0.
fn pack_direct(nr: usize, weights: Weights, data: &mut [f32]) {
    let shape = weights.shape;
    let (ins, outs, width) = (shape.ins(), shape.outs(), shape.kernel_size.width);
    let (panels, steps) = (outs.div_ceil(nr), shape.steps());
    data.par_chunks_exact_mut(steps * nr)
        .enumerate()
        .for_each(|(i, data)| {
            let (group, first) = (i / panels, i % panels * nr);
            for (step, targets) in data.chunks_exact_mut(nr).enumerate() {
                let (tap, input) = (step / ins, step % ins);
                let (row, column) = (tap / width, tap % width);
                for (output, target) in (first..outs).zip(targets) {
                    *target = weights.at(Index {
                        group,
                        input,
                        output,
                        row,
                        column,
                    });
                }
            }
        });
}
