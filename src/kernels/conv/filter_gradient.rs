//! The filter's gradient where Winograd's algorithm does not apply.

use rayon::prelude::*;

use super::FilterGradient;
use super::sweep::{Sweep, copy_rows};
use crate::kernels::gated::Gated;
use crate::kernels::gemm::{self, Strided, accumulate, pieces, with_rows};
use crate::kernels::geometry::Size2;
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Kernel, Simd};

/// Numbers of padded input that a strip may take.
const STRIP_NUMBERS: usize = 64 * 1024;

/// Sums that are formed side by side at most, and added in order at the end.
const PARTS: usize = 16;

/// Bytes that those sums may take together, or one of them if that is more.
const PARTS_BYTES: usize = 32 << 20;

/// Writes the gradient `(O, I / groups, kH, kW)`.
pub(super) fn filter_gradient(
    kernel: Kernel,
    sweep: &Sweep,
    gradient: &FilterGradient,
    target: &mut [f32],
) {
    let width = kernel.panel_width();
    let Sweep {
        groups,
        kernel_size,
        in_channels,
        out_channels,
        ..
    } = *sweep;
    let steps = kernel_size.pixels() * (in_channels / groups);
    let panels = (out_channels / groups).div_ceil(width);
    let part = groups * panels * steps * width;
    let pitch = sweep.padded_width() * in_channels * sweep.stride.height;
    let rows = (STRIP_NUMBERS / pitch).clamp(1, sweep.out_size.height);
    let strips = sweep.batch * sweep.out_size.height.div_ceil(rows);
    let parts = (PARTS_BYTES / (part * size_of::<f32>()))
        .clamp(1, PARTS)
        .min(strips);
    let mut sums = scratch::lend(2, parts * part);
    sums.fill(0.0);
    sums.par_chunks_mut(steps * width)
        .enumerate()
        .for_each(|(i, sums)| {
            let (p, panel) = (i / (groups * panels), i % (groups * panels));
            let strips = p * strips / parts..(p + 1) * strips / parts;
            let place = (panel / panels, panel % panels);
            kernel.run(Panel {
                sweep,
                gradient,
                strips,
                rows,
                place,
                sums,
            });
        });
    let filter = steps * width;
    target
        .par_chunks_mut(steps)
        .enumerate()
        .for_each(|(output, target)| {
            let (group, output) = (
                output / (out_channels / groups),
                output % (out_channels / groups),
            );
            let panel = group * panels + output / width;
            let channels = in_channels / groups;
            let taps = kernel_size.pixels();
            for (step, channel) in (0..steps).map(|step| (step, step % channels)) {
                let place = panel * filter + step * width + output % width;
                let sum = (0..parts).map(|p| sums[p * part + place]).sum::<f32>();
                target[channel * taps + step / channels] = sum;
            }
        });
}

struct Panel<'a> {
    sweep: &'a Sweep,
    gradient: &'a FilterGradient<'a>,
    strips: std::ops::Range<usize>,
    rows: usize,
    place: (usize, usize),
    sums: &'a mut [f32],
}

impl Job for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            sweep,
            gradient,
            strips,
            rows,
            place,
            sums,
        } = self;
        let Size2 { height, width } = sweep.out_size;
        let per_image = height.div_ceil(rows);
        let pitch = sweep.padded_width() * sweep.in_channels;
        let mut padded = scratch::lend(0, sweep.padded_rows(rows) * pitch);
        let mut grads = scratch::lend(1, rows * width * 2 * S::LANES);
        for strip in strips {
            let (image, first) = (strip / per_image, strip % per_image * rows);
            let rows = rows.min(height - first);
            let input = Gated::from(gradient.input)
                .slice(image * sweep.in_image()..(image + 1) * sweep.in_image());
            let padded = &mut padded[..sweep.padded_rows(rows) * pitch];
            copy_rows(simd, sweep, input, first, padded);
            let start = image * sweep.out_image() + first * width * sweep.out_channels;
            let source = gradient
                .grad_output
                .slice(start..start + rows * width * sweep.out_channels);
            copy_panel(simd, sweep, source, place, &mut grads);
            let strip = Strip {
                sweep,
                rows,
                group: place.0,
                padded,
                grads: &grads,
            };
            strip.add(simd, sums);
        }
    }
}

/// Copies a panel of channels, `(pixels, 2 * LANES)`, missing channels 0.
#[inline(always)]
fn copy_panel<S: Simd>(
    simd: S,
    sweep: &Sweep,
    source: Gated,
    (group, panel): (usize, usize),
    target: &mut [f32],
) {
    let width = 2 * S::LANES;
    let channels = sweep.out_channels / sweep.groups;
    let count = width.min(channels - panel * width);
    let first = group * channels + panel * width;
    let pixels = source.values.len() / sweep.out_channels;
    for (pixel, target) in target.chunks_exact_mut(width).enumerate().take(pixels) {
        let start = pixel * sweep.out_channels + first;
        let (target, rest) = target.split_at_mut(count);
        source.slice(start..start + count).copy_to(simd, target);
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
        let (runs, len) = self.sweep.runs();
        for tap in 0..self.sweep.kernel_size.height * runs {
            let (ky, run) = (tap / runs, tap % runs);
            for (channel, count) in pieces(len, S::MR) {
                let sums = &mut sums[(tap * len + channel) * 2 * S::LANES..];
                with_rows!(count, S, add_tile(simd, self, (ky, run), channel, sums));
            }
        }
    }
}

#[inline(always)]
fn add_tile<S: Simd, const M: usize>(
    simd: S,
    strip: &Strip,
    (ky, run): (usize, usize),
    channel: usize,
    sums: &mut [f32],
) {
    let Strip {
        sweep,
        rows,
        group,
        padded,
        grads,
    } = *strip;
    let columns = sweep.out_size.width;
    let pitch = sweep.padded_width() * sweep.in_channels;
    let left = run * sweep.dilation.width * sweep.in_channels
        + group * (sweep.in_channels / sweep.groups)
        + channel;
    let width = 2 * S::LANES;
    let mut tile = [[simd.splat(0.0); 2]; M];
    for row in 0..rows {
        let line = (row * sweep.stride.height + ky * sweep.dilation.height) * pitch + left;
        let step_stride = sweep.stride.width * sweep.in_channels;
        let a = Strided {
            data: &padded[line..],
            row_stride: 1,
            step_stride,
        };
        let data = &grads[row * columns * width..];
        let b = Strided {
            data,
            row_stride: 0,
            step_stride: width,
        };
        accumulate(simd, columns, a, b, &mut tile);
    }
    gemm::add_tile(simd, &tile, sums, width);
}
