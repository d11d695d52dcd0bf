//! Convolution as a matrix product whose left operand is read in place.
//!
//! Channels come last, so a row of taps reads a *run* of contiguous values; with
//! dilation or groups, each tap reads one. The next output pixel reads the run
//! `stride * C` values later. The register tile therefore reads the padded rows in
//! place, without im2col. This works for every kernel size, stride, dilation and
//! number of groups.

use rayon::prelude::*;

use super::call::Pass;
use super::epilogue::{Epilogue, PixelRows, max_pool_rows};
use super::filter::PackedFilter;
use super::sweep::{Runs, STRIP_BYTES, Sweep, copy_rows};
use crate::kernels::cache::Caches;
use crate::kernels::gemm::{Tile, with_rows};
use crate::kernels::scratch::{self, Slot};
use crate::kernels::simd::{Job, Simd, Steps};
use crate::kernels::span::{Span, pieces};

/// The batch is cut into at least this many strips if it has enough rows.
const STRIPS: usize = 16;

/// The number of output rows in a strip, with an input that takes at most a quarter
/// of a thread's level-2 cache. A 2x2 pool takes an even number.
fn strip_rows(sweep: &Sweep) -> usize {
    let bytes = STRIP_BYTES.min(Caches::of_this_cpu().level_2 / 4);
    let fitting = sweep.rows_within(bytes).max(2);
    let spread = (sweep.out_size.height * sweep.batch / STRIPS).max(2);
    fitting.min(spread) & !1
}

/// Runs the sweep. `output` has the pooled size if the epilogue pools.
pub(super) fn run(pass: &Pass, output: &mut [f32]) {
    let sweep = &pass.sweep;
    let out_size = pass.out_size();
    let line = out_size.width * sweep.out_channels;
    if out_size.height * line == 0 || sweep.batch == 0 {
        return;
    }
    let rows = strip_rows(sweep);
    let lines = if pass.epilogue.pool { rows / 2 } else { rows };
    output
        .par_chunks_mut(out_size.height * line)
        .enumerate()
        .for_each(|(image, output)| {
            output
                .par_chunks_mut(lines * line)
                .enumerate()
                .for_each(|(i, output)| {
                    pass.filter.packed.kernel.run(Strip {
                        pass,
                        image,
                        first: i * rows,
                        output,
                    });
                });
        });
}

/// A strip: consecutive output rows of one image, pooled if the epilogue pools.
pub(super) struct Strip<'a> {
    pub pass: &'a Pass<'a>,
    pub image: usize,
    /// The first row, counted before the pool.
    pub first: usize,
    pub output: &'a mut [f32],
}

impl Job for Strip<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (pass, output) = (self.pass, self.output);
        let (sweep, epilogue) = (&pass.sweep, &pass.epilogue);
        let source = pass.source.part(self.image, sweep.in_image());
        let lines = output.len() / (pass.out_size().width * sweep.out_channels);
        let rows = if epilogue.pool { lines * 2 } else { lines };
        let pitch = sweep.padded_pitch();
        let mut padded = scratch::lend(Slot::Padded, sweep.padded_rows(rows) * pitch);
        copy_rows(simd, sweep, source, self.first, &mut padded);
        let panels = Panels {
            sweep,
            filter: pass.filter.packed,
            epilogue,
            padded: &padded,
        };
        if epilogue.pool {
            let (width, channels) = (sweep.out_size.width, sweep.out_channels);
            let mut full = scratch::lend(Slot::Output, rows * width * channels);
            panels.compute(simd, &mut full);
            let rows = PixelRows {
                values: &full,
                width,
                channels,
            };
            max_pool_rows(simd, rows, output);
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
        let line = sweep.out_size.width * sweep.out_channels;
        let channels = sweep.out_channels / sweep.groups;
        for group in 0..sweep.groups {
            let mut start = 0;
            while start < channels {
                let wide = S::WIDE > 0 && channels - start > S::NR;
                let most = if wide { 2 * S::NR } else { S::NR };
                let span = Span {
                    start: group * channels + start,
                    count: most.min(channels - start),
                };
                let columns = Columns {
                    group,
                    span,
                    wide,
                    bias: self.bias(simd, span),
                };
                for (y, output) in output.chunks_exact_mut(line).enumerate() {
                    self.row(simd, columns, y, output);
                }
                start += most;
            }
        }
    }

    /// The bias vectors of one or two panels.
    #[inline(always)]
    fn bias<S: Simd>(&self, simd: S, channels: Span) -> Bias<S::Vector> {
        let vector = |p: usize, v: usize| {
            let first = ((2 * p + v) * S::LANES).min(channels.count);
            let lanes = Span {
                start: channels.start + first,
                count: S::LANES.min(channels.count - first),
            };
            self.epilogue.bias_vector(simd, lanes)
        };
        [[vector(0, 0), vector(0, 1)], [vector(1, 0), vector(1, 1)]]
    }

    /// Writes the channels `columns` of row `y` of the strip.
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, columns: Columns<S::Vector>, y: usize, row: &mut [f32]) {
        const { assert!(S::WIDE <= 6, "there is one arm for each number of pixels") };
        let most = if columns.wide { S::WIDE } else { S::MR };
        for Span { start: x, count } in pieces(self.sweep.out_size.width, most) {
            let pixel = Pixel { y, x };
            if columns.wide {
                match count {
                    6 => tile::<S, 6, 2>(simd, self, columns, pixel, row),
                    5 => tile::<S, 5, 2>(simd, self, columns, pixel, row),
                    4 => tile::<S, 4, 2>(simd, self, columns, pixel, row),
                    3 => tile::<S, 3, 2>(simd, self, columns, pixel, row),
                    2 => tile::<S, 2, 2>(simd, self, columns, pixel, row),
                    _ => tile::<S, 1, 2>(simd, self, columns, pixel, row),
                }
            } else {
                with_rows!(count, S, narrow(simd, self, columns, pixel, row));
            }
        }
    }
}

/// The bias of two panels.
type Bias<V> = [[V; 2]; 2];

/// The output channels that a register tile computes.
#[derive(Clone, Copy)]
struct Columns<V> {
    group: usize,
    span: Span,
    /// Whether the channels fill two panels.
    wide: bool,
    bias: Bias<V>,
}

/// The first pixel of a register tile, in a strip.
#[derive(Clone, Copy)]
struct Pixel {
    y: usize,
    x: usize,
}

#[inline(always)]
fn narrow<S: Simd, const M: usize>(
    simd: S,
    panels: &Panels,
    columns: Columns<S::Vector>,
    pixel: Pixel,
    row: &mut [f32],
) {
    tile::<S, M, 1>(simd, panels, columns, pixel, row);
}

/// Computes and writes `M` pixels of `P` panels of channels.
#[inline(always)]
fn tile<S: Simd, const M: usize, const P: usize>(
    simd: S,
    panels: &Panels,
    columns: Columns<S::Vector>,
    pixel: Pixel,
    row: &mut [f32],
) {
    let sweep = panels.sweep;
    let (group, span, bias) = (columns.group, columns.span, columns.bias);
    let least = panels.epilogue.least(simd);
    let first = (span.start - group * (sweep.out_channels / sweep.groups)) / S::NR;
    let mut values = sum_taps::<S, M, P>(simd, panels, GroupPanel { group, first }, pixel);
    for (values, bias) in values.iter_mut().zip(&bias) {
        for values in values {
            for (value, bias) in values.iter_mut().zip(bias) {
                *value = simd.max(least, simd.add(*value, *bias));
            }
        }
    }
    let target = &mut row[pixel.x * sweep.out_channels + span.start..];
    write::<S, M, P>(simd, values, span.count, target, sweep.out_channels);
}

#[derive(Clone, Copy)]
struct GroupPanel {
    group: usize,
    first: usize,
}

#[inline(always)]
fn sum_taps<S: Simd, const M: usize, const P: usize>(
    simd: S,
    panels: &Panels,
    panel: GroupPanel,
    pixel: Pixel,
) -> [Tile<S::Vector, M>; P] {
    let (sweep, padded) = (panels.sweep, panels.padded);
    let Runs { count: runs, len } = sweep.runs();
    let GroupPanel { group, first } = panel;
    let (rows, channels) = (sweep.kernel_size.height, sweep.in_channels / sweep.groups);
    let steps = rows * runs * len;
    let packed = panels.filter.panels(group, first..first + P);
    let pitch = sweep.padded_pitch();
    let (line, step) = (
        sweep.dilation.height * pitch,
        sweep.dilation.width * sweep.in_channels,
    );
    let row_stride = sweep.stride.width * sweep.in_channels;
    let start = pixel.y * sweep.stride.height * pitch + pixel.x * row_stride + group * channels;
    let last = (rows - 1) * line + (runs - 1) * step + (M - 1) * row_stride + len;
    assert!(start + last <= padded.len() && packed.len() == P * steps * S::NR);
    let mut sums = [[[simd.splat(0.0); 2]; M]; P];
    let mut right = packed.as_ptr();
    for (ky, run) in (0..rows).flat_map(|ky| (0..runs).map(move |run| (ky, run))) {
        // SAFETY: by the assert above, `padded` holds the last value read, and
        // `packed` holds `P` panels of `steps` rows. `right` points to the first
        // row of a run; `wrapping_add` may step past the last row.
        unsafe {
            let taps = Steps {
                count: len,
                left: padded.as_ptr().add(start + ky * line + run * step),
                row_stride,
                step_stride: 1,
                right,
                right_stride: S::NR,
            };
            add_run(simd, taps, steps * S::NR, &mut sums);
        }
        right = right.wrapping_add(len * S::NR);
    }
    sums
}

/// Adds the products of a run of taps to the sums of `P` panels.
///
/// # Safety
/// The operands of all steps are valid for reading. A panel's operands lie
/// `panel_stride` values after the operands of the panel before it.
#[inline(always)]
unsafe fn add_run<S: Simd, const M: usize, const P: usize>(
    simd: S,
    taps: Steps,
    panel_stride: usize,
    sums: &mut [Tile<S::Vector, M>; P],
) {
    let mut done = 0;
    for (p, sums) in sums.iter_mut().enumerate() {
        let right = taps.right.wrapping_add(p * panel_stride);
        // SAFETY: the caller vouches for the operands.
        done = unsafe { simd.accumulate(Steps { right, ..taps }, sums) };
    }
    for i in done..taps.count {
        // SAFETY: as above.
        unsafe {
            for (p, sums) in sums.iter_mut().enumerate() {
                let b = taps.right.add(p * panel_stride + i * S::NR);
                let b = [simd.load(b), simd.load(b.add(S::LANES))];
                for (m, sums) in sums.iter_mut().enumerate() {
                    let a = simd.splat(*taps.left.add(i + m * taps.row_stride));
                    sums[0] = simd.mul_add(a, b[0], sums[0]);
                    sums[1] = simd.mul_add(a, b[1], sums[1]);
                }
            }
        }
    }
}

/// Writes `count` channels of `M` pixels, which lie `stride` apart.
#[inline(always)]
fn write<S: Simd, const M: usize, const P: usize>(
    simd: S,
    values: [Tile<S::Vector, M>; P],
    count: usize,
    target: &mut [f32],
    stride: usize,
) {
    assert!((M - 1) * stride + count <= target.len());
    let whole = count == P * S::NR;
    for m in 0..M {
        for (p, values) in values.iter().enumerate() {
            for (v, value) in values[m].iter().enumerate() {
                let first = (2 * p + v) * S::LANES;
                // SAFETY: by the assert above, the `count` channels of the last
                // pixel lie inside `target`, and no more are written.
                unsafe {
                    let target = target.as_mut_ptr().wrapping_add(m * stride + first);
                    if whole {
                        simd.store(target, *value);
                    } else {
                        let lanes = count.saturating_sub(first).min(S::LANES);
                        simd.store_partial(target, lanes, *value);
                    }
                }
            }
        }
    }
}
