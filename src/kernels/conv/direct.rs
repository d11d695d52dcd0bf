//! Convolution as a matrix product whose left side is read where it lies.
//!
//! A row of taps over neighbouring channels-last pixels is one run of
//! numbers, and so is the next output's, `stride * C` further: the register
//! tile reads them from the padded rows without gathering. It serves every
//! kernel size, stride, dilation and group, and few input channels.

use rayon::prelude::*;

use super::filter::PackedFilter;
use super::pooling::max_pool_rows;
use super::sweep::{Source, Sweep, copy_rows};
use super::{Epilogue, Output};
use crate::kernels::gemm::{Strided, Tile, accumulate, pieces, with_rows};
use crate::kernels::scratch;
use crate::kernels::simd::{Job, Simd};

/// Numbers of padded input that a strip may take, to stay in a level-2 cache.
const STRIP_NUMBERS: usize = 64 * 1024;

/// Strips that all images together are cut into at least, where rows allow.
const STRIPS: usize = 16;

/// Output rows a strip computes; even, so that pooled pairs stay together.
fn strip_rows(sweep: &Sweep) -> usize {
    let pitch = sweep.padded_width() * sweep.in_channels * sweep.stride.0;
    let fitting = (STRIP_NUMBERS / pitch).max(2);
    let spread = (sweep.out_size.0 * sweep.batch / STRIPS).max(2);
    fitting.min(spread) & !1
}

/// Runs the sweep; `output` as the epilogue's pool leaves it.
pub(super) fn run(
    sweep: &Sweep,
    filter: &PackedFilter,
    source: Source,
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let (out_height, out_width) = Output::size(sweep, epilogue);
    let line = out_width * sweep.out_channels;
    if out_height * line == 0 || sweep.batch == 0 {
        return;
    }
    let rows = strip_rows(sweep);
    let lines = if epilogue.pool { rows / 2 } else { rows };
    output
        .par_chunks_mut(out_height * line)
        .enumerate()
        .for_each(|(n, image)| {
            let source = source.slice(n * sweep.in_image()..(n + 1) * sweep.in_image());
            image
                .par_chunks_mut(lines * line)
                .enumerate()
                .for_each(|(i, output)| {
                    let first = i * rows;
                    filter.kernel().run(Strip {
                        sweep,
                        filter,
                        source,
                        epilogue,
                        first,
                        output,
                    });
                });
        });
}

struct Strip<'a> {
    sweep: &'a Sweep,
    filter: &'a PackedFilter,
    source: Source<'a>,
    epilogue: &'a Epilogue<'a>,
    first: usize,
    output: &'a mut [f32],
}

impl Job for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            sweep,
            source,
            epilogue,
            first,
            output,
            ..
        } = self;
        let (_, out_width) = Output::size(sweep, epilogue);
        let lines = output.len() / (out_width * sweep.out_channels);
        let rows = if epilogue.pool { lines * 2 } else { lines };
        let pitch = sweep.padded_width() * sweep.in_channels;
        let mut padded = scratch::lend(0, sweep.padded_rows(rows) * pitch);
        copy_rows(simd, sweep, source, first, &mut padded);
        let panels = Panels {
            sweep,
            filter: self.filter,
            epilogue,
            padded: &padded,
        };
        if epilogue.pool {
            let line = (sweep.out_size.1, sweep.out_channels);
            let mut full = scratch::lend(1, rows * line.0 * line.1);
            panels.compute(simd, &mut full);
            max_pool_rows(simd, &full, line, output);
        } else {
            panels.compute(simd, output);
        }
    }
}

struct Panels<'a> {
    sweep: &'a Sweep,
    filter: &'a PackedFilter,
    epilogue: &'a Epilogue<'a>,
    padded: &'a [f32],
}

impl Panels<'_> {
    /// Writes whole output rows.
    #[inline(always)]
    fn compute<S: Simd>(&self, simd: S, output: &mut [f32]) {
        let sweep = self.sweep;
        let line = sweep.out_size.1 * sweep.out_channels;
        let width = 2 * S::LANES;
        let channels = sweep.out_channels / sweep.groups;
        for group in 0..sweep.groups {
            for start in (0..channels).step_by(width) {
                let column = group * channels + start;
                let count = width.min(channels - start);
                let packed = self.filter.panel(group, start / width);
                for (r, row) in output.chunks_exact_mut(line).enumerate() {
                    for (x, pixels) in pieces(sweep.out_size.1, S::MR) {
                        let place = Place {
                            group,
                            row: r,
                            x,
                            column,
                            count,
                        };
                        with_rows!(pixels, S, tile(simd, self, packed, place, row));
                    }
                }
            }
        }
    }
}

/// Where a register tile lies: `count` channels from `column`, pixels from
/// `x` of the strip's row `row`.
#[derive(Clone, Copy)]
struct Place {
    group: usize,
    row: usize,
    x: usize,
    column: usize,
    count: usize,
}

#[inline(always)]
fn tile<S: Simd, const M: usize>(
    simd: S,
    panels: &Panels,
    packed: &[f32],
    place: Place,
    row: &mut [f32],
) {
    let Panels {
        sweep,
        epilogue,
        padded,
        ..
    } = *panels;
    let (runs, len) = sweep.runs();
    let pitch = sweep.padded_width() * sweep.in_channels;
    let left = place.x * sweep.stride.1 * sweep.in_channels
        + place.group * (sweep.in_channels / sweep.groups);
    let mut sums = [[simd.splat(0.0); 2]; M];
    for ky in 0..sweep.kernel_size.0 {
        let line = (place.row * sweep.stride.0 + ky * sweep.dilation.0) * pitch + left;
        for run in 0..runs {
            let start = line + run * sweep.dilation.1 * sweep.in_channels;
            let row_stride = sweep.stride.1 * sweep.in_channels;
            let a = Strided {
                data: &padded[start..],
                row_stride,
                step_stride: 1,
            };
            let steps = (ky * runs + run) * len * 2 * S::LANES;
            let step_stride = 2 * S::LANES;
            let b = Strided {
                data: &packed[steps..],
                row_stride: 0,
                step_stride,
            };
            accumulate(simd, len, a, b, &mut sums);
        }
    }
    let target = &mut row[place.x * sweep.out_channels + place.column..];
    let range = (place.column, place.count);
    write(simd, &sums, epilogue, range, (target, sweep.out_channels));
}

/// Adds the bias, applies the ReLU, writes `count` channels of `M` pixels.
#[inline(always)]
fn write<S: Simd, const M: usize>(
    simd: S,
    sums: &Tile<S::Vector, M>,
    epilogue: &Epilogue,
    (column, count): (usize, usize),
    (target, stride): (&mut [f32], usize),
) {
    assert!((M - 1) * stride + count <= target.len());
    for v in 0..2 {
        let lanes = count.saturating_sub(v * S::LANES).min(S::LANES);
        if lanes == 0 {
            break;
        }
        let bias = epilogue.bias_vector(simd, column + v * S::LANES, lanes);
        for (m, sum) in sums.iter().enumerate() {
            let value = epilogue.finish(simd, sum[v], bias);
            // SAFETY: the assert above holds `count` channels of the last
            // pixel, and `v * LANES + lanes <= count`.
            unsafe {
                let target = target.as_mut_ptr().add(m * stride + v * S::LANES);
                simd.store_up_to(target, lanes, value);
            }
        }
    }
}
