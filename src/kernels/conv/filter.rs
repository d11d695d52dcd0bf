//! Filters in the order the kernels read them.

use rayon::prelude::*;

use super::algorithm::Algorithm;
use super::sweep::Sweep;
use super::weights::{FilterWeights, Index, Shape, Weights};
use super::winograd::{self, Four, Two};
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::scratch::Aligned;
use crate::kernels::simd::Kernel;

/// What is kept of a filter for one kernel and one algorithm: the filter
/// transformed and packed, as long as the weights don't change, and updated
/// when they do. Of a large one nothing is kept, since it is transformed as
/// it is multiplied.
#[derive(Clone)]
pub struct PackedFilter {
    kernel: Kernel,
    algorithm: Algorithm,
    turned: bool,
    shape: Shape,
    data: Aligned,
}

impl std::fmt::Debug for PackedFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("PackedFilter")
            .field("kernel", &self.kernel)
            .field("algorithm", &self.algorithm)
            .field("turned", &self.turned)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// A filter as a convolution reads it.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    packed: &'a PackedFilter,
    weights: Weights<'a>,
}

impl std::fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.packed.fmt(f)
    }
}

impl<'a> Filter<'a> {
    /// What of it is packed.
    pub(super) fn packed(&self) -> &'a PackedFilter {
        self.packed
    }

    /// The weights it was packed of.
    pub(super) fn weights(&self) -> Weights<'a> {
        self.weights
    }
}

impl std::ops::Deref for Filter<'_> {
    type Target = PackedFilter;

    fn deref(&self) -> &PackedFilter {
        self.packed
    }
}

impl PackedFilter {
    /// Packs weights for [`super::conv2d`] with the algorithm that suits the
    /// geometry.
    ///
    /// # Panics
    /// If `weights` has other lengths than the geometry's filter.
    pub fn forward(kernel: Kernel, geometry: &Conv2dGeometry, weights: FilterWeights) -> Self {
        Self::forward_with(kernel, Algorithm::forward(geometry), geometry, weights)
    }

    /// As [`PackedFilter::forward`], with an algorithm of choice; Winograd's
    /// becomes the direct one where it does not apply.
    ///
    /// # Panics
    /// If `weights` has other lengths than the geometry's filter.
    pub fn forward_with(
        kernel: Kernel,
        algorithm: Algorithm,
        geometry: &Conv2dGeometry,
        weights: FilterWeights,
    ) -> Self {
        Self::pack(kernel, algorithm, &Sweep::forward(geometry), false).packed(weights)
    }

    /// Packs the same weights for [`super::conv2d_input_gradient`].
    ///
    /// # Panics
    /// If `weights` has other lengths than the geometry's filter.
    pub fn input_gradient(
        kernel: Kernel,
        geometry: &Conv2dGeometry,
        weights: FilterWeights,
    ) -> Self {
        let algorithm = Algorithm::input_gradient(geometry);
        Self::input_gradient_with(kernel, algorithm, geometry, weights)
    }

    /// As [`PackedFilter::input_gradient`], with an algorithm of choice.
    ///
    /// # Panics
    /// If `weights` has other lengths than the geometry's filter.
    pub fn input_gradient_with(
        kernel: Kernel,
        algorithm: Algorithm,
        geometry: &Conv2dGeometry,
        weights: FilterWeights,
    ) -> Self {
        Self::pack(kernel, algorithm, &Sweep::input_gradient(geometry), true).packed(weights)
    }

    fn pack(kernel: Kernel, algorithm: Algorithm, sweep: &Sweep, turned: bool) -> Self {
        let algorithm = if sweep.is_winograd() {
            algorithm
        } else {
            Algorithm::Direct
        };
        let shape = Shape::new(sweep);
        let len = match algorithm {
            Algorithm::Direct => direct_len(kernel.nr(), shape),
            _ if !winograd::is_blockwise(shape) => 0,
            Algorithm::Winograd2 => winograd::packed_len::<Two>(kernel, shape),
            Algorithm::Winograd4 => winograd::packed_len::<Four>(kernel, shape),
        };
        Self {
            kernel,
            algorithm,
            turned,
            shape,
            data: Aligned::zeros(len),
        }
    }

    fn packed(mut self, weights: FilterWeights) -> Self {
        self.update(weights);
        self
    }

    /// Packs other weights of the same shape, in the same memory.
    ///
    /// # Panics
    /// If `weights` has other lengths.
    pub fn update(&mut self, weights: FilterWeights) {
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

    /// The filter, given the weights it was packed of.
    ///
    /// # Panics
    /// If `weights` has other lengths.
    pub fn with<'a>(&'a self, weights: FilterWeights<'a>) -> Filter<'a> {
        Filter {
            packed: self,
            weights: self.weights(weights),
        }
    }

    fn weights<'a>(&self, given: FilterWeights<'a>) -> Weights<'a> {
        let channels = match self.turned {
            false => self.shape.out_channels,
            true => self.shape.in_channels,
        };
        let FilterWeights { values, scale } = given;
        assert_eq!(values.len(), self.shape.len(), "length of the filter");
        assert!(
            scale.is_none_or(|scale| scale.len() == channels),
            "of its scale"
        );
        Weights {
            shape: self.shape,
            given,
            turned: self.turned,
        }
    }

    /// Whether the filter is kept packed, so that the weights are read only
    /// to pack it.
    pub fn is_kept(&self) -> bool {
        self.algorithm == Algorithm::Direct || winograd::is_blockwise(self.shape)
    }

    /// The instruction set it was packed for.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The algorithm it was packed for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is a filter of this sweep.
    pub(super) fn serves(&self, sweep: &Sweep, turned: bool) -> bool {
        self.turned == turned
            && self.shape == Shape::new(sweep)
            && (self.algorithm == Algorithm::Direct || sweep.is_winograd())
    }

    /// Some of a group's panels for the direct algorithm, `(kH, kW,
    /// I / groups, NR)` each.
    #[inline(always)]
    pub(super) fn panels(&self, group: usize, range: std::ops::Range<usize>) -> &[f32] {
        let Shape {
            in_channels,
            out_channels,
            groups,
            kernel_size,
        } = self.shape;
        let nr = self.kernel.nr();
        let len = kernel_size.pixels() * (in_channels / groups) * nr;
        let first = group * (out_channels / groups).div_ceil(nr);
        &self.data[(first + range.start) * len..(first + range.end) * len]
    }

    /// All numbers, in the order of the algorithm.
    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }
}

/// Numbers in a filter packed for the direct algorithm.
fn direct_len(nr: usize, shape: Shape) -> usize {
    let Shape {
        in_channels,
        out_channels,
        groups,
        kernel_size,
    } = shape;
    let panels = groups * (out_channels / groups).div_ceil(nr);
    kernel_size.pixels() * panels * (in_channels / groups) * nr
}

/// `(groups, panels, kH, kW, I / groups, NR)`, missing channels 0.
fn pack_direct(nr: usize, weights: Weights, data: &mut [f32]) {
    let Shape {
        in_channels,
        out_channels,
        groups,
        kernel_size,
    } = weights.shape;
    let (ins, outs) = (in_channels / groups, out_channels / groups);
    let panels = outs.div_ceil(nr);
    let steps = kernel_size.pixels() * ins;
    data.par_chunks_exact_mut(steps * nr)
        .enumerate()
        .for_each(|(i, data)| {
            let (group, first) = (i / panels, i % panels * nr);
            for (step, row) in data.chunks_exact_mut(nr).enumerate() {
                let (tap, input) = (step / ins, step % ins);
                for (output, target) in (first..outs).zip(row) {
                    *target = weights.at(Index {
                        group,
                        input,
                        output,
                        row: tap / kernel_size.width,
                        column: tap % kernel_size.width,
                    });
                }
            }
        });
}
