//! The gradient of filters to which Winograd's algorithm does not apply.

use rayon::prelude::*;

use super::call::FilterGradient;
use super::sweep::{Runs, STRIP_BYTES, Sweep, copy_rows};
use crate::kernels::gated::Gated;
use crate::kernels::gemm::{self, Product, Rows, accumulate, with_rows};
use crate::kernels::geometry::Size2;
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, pieces};

/// The most partial sums, computed in parallel and then added in order.
const PARTS: usize = 16;

/// The most bytes of all partial sums. One partial sum is always allowed.
const PARTS_BYTES: usize = 32 << 20;

/// Writes the gradient to `target`, `(O, I / groups, kH, kW)`.
pub(super) fn filter_gradient(
    kernel: Kernel,
    sweep: &Sweep,
    gradient: &FilterGradient,
    target: &mut [f32],
) {
    let nr = kernel.nr();
    let (groups, taps) = (sweep.groups, sweep.kernel_size.pixels());
    let (ins, outs) = (sweep.in_channels / groups, sweep.out_channels / groups);
    let steps = taps * ins;
    let panels = outs.div_ceil(nr);
    let part = groups * panels * steps * nr;
    // Not by this CPU's cache: the sums depend on the strips.
    let rows = sweep
        .rows_within(STRIP_BYTES)
        .clamp(1, sweep.out_size.height);
    let strips = sweep.batch * sweep.out_size.height.div_ceil(rows);
    let parts = (PARTS_BYTES / (part * size_of::<f32>()))
        .clamp(1, PARTS)
        .min(strips);
    let mut sums = scratch::lend(Slot::Sums, parts * part);
    sums.fill(0.0);
    sums.par_chunks_mut(steps * nr)
        .enumerate()
        .for_each(|(i, sums)| {
            let (p, panel) = (i / (groups * panels), i % (groups * panels));
            let strips = p * strips / parts..(p + 1) * strips / parts;
            kernel.run(PanelSums {
                sweep,
                gradient,
                strips,
                rows,
                group: panel / panels,
                panel: panel % panels,
                sums,
            });
        });
    target
        .par_chunks_mut(steps)
        .enumerate()
        .for_each(|(output, target)| {
            let (group, output) = (output / outs, output % outs);
            let panel = group * panels + output / nr;
            for (step, channel) in (0..steps).map(|step| (step, step % ins)) {
                let index = (panel * steps + step) * nr + output % nr;
                let sum = (0..parts).map(|p| sums[p * part + index]).sum::<f32>();
                target[channel * taps + step / ins] = sum;
            }
        });
}

/// Adds up the gradient of one panel of a group over some strips.
struct PanelSums<'a> {
    sweep: &'a Sweep,
    gradient: &'a FilterGradient<'a>,
    strips: std::ops::Range<usize>,
    /// Output rows of a strip.
    rows: usize,
    group: usize,
    panel: usize,
    sums: &'a mut [f32],
}

impl Job for PanelSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (sweep, gradient, group) = (self.sweep, self.gradient, self.group);
        let Size2 { height, width } = sweep.out_size;
        let per_image = height.div_ceil(self.rows);
        let pitch = sweep.padded_pitch();
        let mut padded = scratch::lend(Slot::Input, sweep.padded_rows(self.rows) * pitch);
        let mut grads = scratch::lend(Slot::Output, self.rows * width * S::NR);
        let outs = sweep.out_channels / sweep.groups;
        let channels = Span {
            start: group * outs + self.panel * S::NR,
            count: S::NR.min(outs - self.panel * S::NR),
        };
        for strip in self.strips {
            let (image, first) = (strip / per_image, strip % per_image * self.rows);
            let rows = self.rows.min(height - first);
            let input = Gated::from(gradient.input).part(image, sweep.in_image());
            let padded = &mut padded[..sweep.padded_rows(rows) * pitch];
            copy_rows(simd, sweep, input, first, padded);
            let start = image * sweep.out_image() + first * width * sweep.out_channels;
            let source = gradient
                .grad_output
                .slice(start..start + rows * width * sweep.out_channels);
            copy_panel(simd, source, sweep.out_channels, channels, &mut grads);
            let strip = Strip {
                sweep,
                rows,
                group,
                padded,
                grads: &grads,
            };
            strip.add(simd, self.sums);
        }
    }
}

/// Copies the channels `channels` of every pixel to `target`, `(pixels, NR)`.
/// Missing channels become 0.
#[inline(always)]
fn copy_panel<S: Simd>(simd: S, source: Gated, pitch: usize, channels: Span, target: &mut [f32]) {
    let pixels = source.values.len() / pitch;
    for (pixel, target) in target.chunks_exact_mut(S::NR).enumerate().take(pixels) {
        let start = pixel * pitch + channels.start;
        let (target, rest) = target.split_at_mut(channels.count);
        source
            .slice(start..start + channels.count)
            .copy_to(simd, target);
        rest.fill(0.0);
    }
}

struct Strip<'a> {
    sweep: &'a Sweep,
    rows: usize,
    group: usize,
    padded: &'a [f32],
    grads: &'a [f32],
}

impl Strip<'_> {
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, sums: &mut [f32]) {
        let Runs { count: runs, len } = self.sweep.runs();
        for tap in 0..self.sweep.kernel_size.height * runs {
            for Span { start, count } in pieces(len, S::MR) {
                let taps = Taps {
                    row: tap / runs,
                    run: tap % runs,
                    start,
                };
                let sums = &mut sums[(tap * len + start) * S::NR..];
                with_rows!(count, S, add_tile(simd, self, taps, sums));
            }
        }
    }
}

/// Where a register tile begins: the row of taps, the run, and the offset in it.
#[derive(Clone, Copy)]
struct Taps {
    row: usize,
    run: usize,
    start: usize,
}

#[inline(always)]
fn add_tile<S: Simd, const M: usize>(simd: S, strip: &Strip, taps: Taps, sums: &mut [f32]) {
    let sweep = strip.sweep;
    let columns = sweep.out_size.width;
    let pitch = sweep.padded_pitch();
    let left = taps.run * sweep.dilation.width * sweep.in_channels
        + strip.group * (sweep.in_channels / sweep.groups)
        + taps.start;
    let mut tile = [[simd.splat(0.0); 2]; M];
    for row in 0..strip.rows {
        let line = (row * sweep.stride.height + taps.row * sweep.dilation.height) * pitch + left;
        let a = Rows {
            data: &strip.padded[line..],
            row_stride: 1,
            step_stride: sweep.stride.width * sweep.in_channels,
        };
        let b = gemm::Panel {
            data: &strip.grads[row * columns * S::NR..],
            step_stride: S::NR,
        };
        let product = Product {
            steps: columns,
            a,
            b,
        };
        accumulate(simd, product, &mut tile);
    }
    gemm::add_tile(simd, &tile, sums, S::NR);
}
