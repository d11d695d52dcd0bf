//! Filters in the order the kernels read them.

use rayon::prelude::*;

use super::Algorithm;
use super::sweep::Sweep;
use super::winograd;
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::scratch::Aligned;
use crate::kernels::simd::Kernel;

/// A filter, transformed and packed for one kernel and one algorithm; to be
/// kept as long as the weights don't change, and updated when they do.
#[derive(Clone)]
pub struct PackedFilter {
    kernel: Kernel,
    algorithm: Algorithm,
    turned: bool,
    shape: Shape,
    data: Aligned,
}

/// The sizes of a filter as a sweep reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    kernel_size: (usize, usize),
}

impl Shape {
    fn new(sweep: &Sweep) -> Self {
        let Sweep {
            in_channels,
            out_channels,
            groups,
            kernel_size,
            ..
        } = *sweep;
        Self {
            in_channels,
            out_channels,
            groups,
            kernel_size,
        }
    }

    /// Numbers in the weights.
    fn len(&self) -> usize {
        self.out_channels
            * (self.in_channels / self.groups)
            * self.kernel_size.0
            * self.kernel_size.1
    }
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

/// Weights `(O, I / groups, kH, kW)` as a sweep reads them.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    shape: Shape,
    data: &'a [f32],
    turned: bool,
}

impl Weights<'_> {
    /// Channels read and channels written, of all groups.
    pub fn channels(&self) -> (usize, usize) {
        (self.shape.in_channels, self.shape.out_channels)
    }

    /// The weight from channel `input` to channel `output` of a group.
    #[inline(always)]
    pub fn at(
        &self,
        group: usize,
        (input, output): (usize, usize),
        (ky, kx): (usize, usize),
    ) -> f32 {
        let Shape {
            in_channels,
            out_channels,
            groups,
            kernel_size: (height, width),
        } = self.shape;
        let (ins, outs) = (in_channels / groups, out_channels / groups);
        if self.turned {
            let filter = (group * ins + input) * outs + output;
            self.data[(filter * height + height - 1 - ky) * width + width - 1 - kx]
        } else {
            let filter = (group * outs + output) * ins + input;
            self.data[(filter * height + ky) * width + kx]
        }
    }
}

impl PackedFilter {
    /// Packs weights `(O, I / groups, kH, kW)` for [`super::conv2d`] with the
    /// algorithm that suits the geometry.
    ///
    /// # Panics
    /// If `weights` has another length than the geometry's filter.
    pub fn forward(kernel: Kernel, geometry: &Conv2dGeometry, weights: &[f32]) -> Self {
        Self::forward_with(kernel, Algorithm::forward(geometry), geometry, weights)
    }

    /// As [`PackedFilter::forward`], with an algorithm of choice; Winograd's
    /// becomes the direct one where it does not apply.
    ///
    /// # Panics
    /// If `weights` has another length than the geometry's filter.
    pub fn forward_with(
        kernel: Kernel,
        algorithm: Algorithm,
        geometry: &Conv2dGeometry,
        weights: &[f32],
    ) -> Self {
        Self::pack(kernel, algorithm, &Sweep::forward(geometry), false).packed(weights)
    }

    /// Packs the same weights for [`super::conv2d_input_gradient`].
    ///
    /// # Panics
    /// If `weights` has another length than the geometry's filter.
    pub fn input_gradient(kernel: Kernel, geometry: &Conv2dGeometry, weights: &[f32]) -> Self {
        let algorithm = Algorithm::input_gradient(geometry);
        Self::input_gradient_with(kernel, algorithm, geometry, weights)
    }

    /// As [`PackedFilter::input_gradient`], with an algorithm of choice.
    ///
    /// # Panics
    /// If `weights` has another length than the geometry's filter.
    pub fn input_gradient_with(
        kernel: Kernel,
        algorithm: Algorithm,
        geometry: &Conv2dGeometry,
        weights: &[f32],
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
        let width = kernel.panel_width();
        let panels = shape.groups * (shape.out_channels / shape.groups).div_ceil(width);
        let positions = match algorithm {
            Algorithm::Direct => shape.kernel_size.0 * shape.kernel_size.1,
            Algorithm::Winograd2 => 16,
            Algorithm::Winograd4 => 36,
        };
        let len = positions * panels * (shape.in_channels / shape.groups) * width;
        Self {
            kernel,
            algorithm,
            turned,
            shape,
            data: Aligned::zeros(len),
        }
    }

    fn packed(mut self, weights: &[f32]) -> Self {
        self.update(weights);
        self
    }

    /// Packs other weights of the same shape, in the same memory.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn update(&mut self, weights: &[f32]) {
        assert_eq!(weights.len(), self.shape.len(), "length of the filter");
        let weights = Weights {
            shape: self.shape,
            data: weights,
            turned: self.turned,
        };
        match self.algorithm {
            Algorithm::Direct => pack_direct(self.kernel.panel_width(), weights, &mut self.data),
            Algorithm::Winograd2 => {
                winograd::pack::<winograd::Two>(self.kernel, weights, &mut self.data);
            }
            Algorithm::Winograd4 => {
                winograd::pack::<winograd::Four>(self.kernel, weights, &mut self.data);
            }
        }
    }

    /// The instruction set it was packed for.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The algorithm it was packed for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.data)
    }

    /// Whether it is a filter of this sweep.
    pub(super) fn serves(&self, sweep: &Sweep, turned: bool) -> bool {
        self.turned == turned
            && self.shape == Shape::new(sweep)
            && (self.algorithm == Algorithm::Direct || sweep.is_winograd())
    }

    /// The direct algorithm's panels, `(kH, kW, I / groups, width)` each.
    #[inline(always)]
    pub(super) fn panels(&self, group: usize, range: std::ops::Range<usize>) -> &[f32] {
        let Shape {
            in_channels,
            out_channels,
            groups,
            kernel_size,
        } = self.shape;
        let width = self.kernel.panel_width();
        let len = kernel_size.0 * kernel_size.1 * (in_channels / groups) * width;
        let first = group * (out_channels / groups).div_ceil(width);
        &self.data[(first + range.start) * len..(first + range.end) * len]
    }

    /// All numbers, in the order of the algorithm.
    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }
}

/// `(groups, panels, kH, kW, I / groups, width)`, missing channels 0.
fn pack_direct(width: usize, weights: Weights, data: &mut [f32]) {
    let Shape {
        in_channels,
        out_channels,
        groups,
        kernel_size,
    } = weights.shape;
    let (ins, outs) = (in_channels / groups, out_channels / groups);
    let panels = outs.div_ceil(width);
    let steps = kernel_size.0 * kernel_size.1 * ins;
    data.par_chunks_exact_mut(steps * width)
        .enumerate()
        .for_each(|(i, data)| {
            let (group, first) = (i / panels, i % panels * width);
            for (step, row) in data.chunks_exact_mut(width).enumerate() {
                let (tap, input) = (step / ins, step % ins);
                let tap = (tap / kernel_size.1, tap % kernel_size.1);
                for (output, target) in (first..outs).zip(row) {
                    *target = weights.at(group, (input, output), tap);
                }
            }
        });
}
