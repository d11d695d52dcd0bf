//! Pillow's resizing of 8-bit RGB, byte for byte: `ImagingScaleAffine` for
//! nearest, `ImagingResample` for the filters (libImaging/Geometry.c and
//! libImaging/Resample.c of Pillow 13.0).

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::size::Size;

/// Bits of the fixed-point weights: 8 for the pixel, 2 for overshoot, out of
/// 32. A sum never leaves an `i32`: the weights' absolute values add up to at
/// most 1.25, and rounding them adds at most half a unit for each of at
/// most 2^20 taps (`size::MAX_SIDE`).
const PRECISION: u32 = 32 - 8 - 2;

/// How pixels are made up when an image is resized, byte for byte as Pillow
/// 13 does it for 8-bit RGB.
///
/// Earlier versions of Pillow differ, by a few levels as a rule, where the
/// height loses more than twice the pixels that the width does: they resize
/// the width first there too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResizeFilter {
    /// The pixel at the place; without antialias. Pillow's `NEAREST`.
    Nearest,
    /// A triangle over two pixels, stretched where the image shrinks
    /// (antialias). Pillow's `BILINEAR`.
    Bilinear,
    /// Keys' cubic with a = -1/2 over four pixels, stretched where the
    /// image shrinks (antialias). Pillow's `BICUBIC`.
    Bicubic,
}

/// One axis of a resize of which only a part is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Pixels before the resize.
    pub(super) input: usize,
    /// Pixels after it.
    pub(super) output: usize,
    /// The wanted range of pixels after the resize.
    pub(super) wanted: Range<usize>,
}

/// The weighted run of input pixels that makes one output pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

struct Kernel {
    reach: f64,
    weight: fn(f64) -> f64,
}

/// The wanted part of `source`, rows of RGB, resized.
pub(super) fn resample(source: &[u8], x: &Axis, y: &Axis, filter: ResizeFilter) -> Vec<u8> {
    let kernel = match filter {
        ResizeFilter::Nearest => return nearest(source, x, y),
        ResizeFilter::Bilinear => Kernel {
            reach: 1.0,
            weight: triangle,
        },
        ResizeFilter::Bicubic => Kernel {
            reach: 2.0,
            weight: cubic,
        },
    };
    let (columns, rows) = (taps(x, &kernel), taps(y, &kernel));
    let stride = 3 * x.input;
    if rows_first(x, y) {
        let middle = down(source, stride, &rows);
        return across(&middle, stride, &columns);
    }
    let (rows, used) = from_zero(rows);
    let source = &source[stride * used.start..stride * used.end];
    let middle = across(source, stride, &columns);
    down(&middle, 3 * columns.len(), &rows)
}

pub(super) fn between_passes(x: &Axis, y: &Axis) -> Size {
    if rows_first(x, y) {
        Size {
            width: x.input,
            height: y.wanted.len(),
        }
    } else {
        Size {
            width: x.wanted.len(),
            height: y.input,
        }
    }
}

/// Whether the height is resized before the width: since Pillow 13, where it
/// loses more than twice the pixels that the width does. As 8 bits are kept
/// in between, the order shows in the result.
fn rows_first(x: &Axis, y: &Axis) -> bool {
    y.input > y.output && y.input + 2 * x.output > y.output + 2 * x.input
}

/// The taps counted from the first input that any of them uses, and the range
/// of inputs they use.
fn from_zero(mut taps: Vec<Taps>) -> (Vec<Taps>, Range<usize>) {
    let first = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end = taps.iter().map(Taps::end).max().unwrap_or(first);
    for taps in &mut taps {
        taps.first -= first;
    }
    (taps, first..end)
}

/// Pillow adds the step up instead of multiplying, and rounding errors with
/// it: only the same sum gives the same pixels.
fn nearest_positions(axis: &Axis) -> Vec<usize> {
    let step = axis.input as f64 / axis.output as f64;
    let mut at = step * 0.5;
    let mut positions = Vec::with_capacity(axis.wanted.len());
    for output in 0..axis.wanted.end {
        if output >= axis.wanted.start {
            positions.push((at as usize).min(axis.input - 1));
        }
        at += step;
    }
    positions
}

fn nearest(source: &[u8], x: &Axis, y: &Axis) -> Vec<u8> {
    let columns = nearest_positions(x);
    let mut output = Vec::with_capacity(3 * columns.len() * y.wanted.len());
    for row in nearest_positions(y) {
        let row = &source[3 * x.input * row..][..3 * x.input];
        for column in &columns {
            output.extend_from_slice(&row[3 * column..][..3]);
        }
    }
    output
}

fn taps(axis: &Axis, kernel: &Kernel) -> Vec<Taps> {
    let scale = axis.input as f64 / axis.output as f64;
    let stretch = scale.max(1.0);
    let reach = kernel.reach * stretch;
    let run = |output: usize| {
        let center = (output as f64 + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(axis.input);
        let weights: Vec<f64> = (first..end)
            .map(|input| (kernel.weight)((input as f64 - center + 0.5) * (1.0 / stretch)))
            .collect();
        Taps {
            first,
            weights: fixed_point(weights),
        }
    };
    axis.wanted.clone().map(run).collect()
}

/// The weights scaled to a sum of one, rounded half away from zero.
fn fixed_point(weights: Vec<f64>) -> Vec<i32> {
    let sum: f64 = weights.iter().sum();
    let one = f64::from(1 << PRECISION);
    let weights = weights.into_iter().map(|weight| match sum {
        0.0 => weight,
        sum => weight / sum,
    });
    weights
        .map(|weight| (weight * one + 0.5_f64.copysign(weight)) as i32)
        .collect()
}

/// The pass along the rows.
fn across(source: &[u8], stride: usize, columns: &[Taps]) -> Vec<u8> {
    let mut output = vec![0; source.len() / stride * columns.len() * 3];
    output
        .par_chunks_exact_mut(3 * columns.len())
        .zip(source.par_chunks_exact(stride))
        .for_each(|(to, from)| {
            for (pixel, column) in to.chunks_exact_mut(3).zip(columns) {
                let mut sums = [1 << (PRECISION - 1); 3];
                let run = from[3 * column.first..3 * column.end()].chunks_exact(3);
                for (from, weight) in run.zip(&column.weights) {
                    for (sum, &value) in sums.iter_mut().zip(from) {
                        *sum += i32::from(value) * weight;
                    }
                }
                pixel.copy_from_slice(&sums.map(to_byte));
            }
        });
    output
}

/// The pass along the columns.
fn down(source: &[u8], stride: usize, rows: &[Taps]) -> Vec<u8> {
    let mut output = vec![0; rows.len() * stride];
    output.par_chunks_exact_mut(stride).zip(rows).for_each_init(
        || vec![0; stride],
        |sums, (to, row)| {
            sums.fill(1 << (PRECISION - 1));
            let run = source[stride * row.first..stride * row.end()].chunks_exact(stride);
            for (from, weight) in run.zip(&row.weights) {
                for (sum, &value) in sums.iter_mut().zip(from) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (byte, &sum) in to.iter_mut().zip(sums.iter()) {
                *byte = to_byte(sum);
            }
        },
    );
    output
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic convolution, "Cubic Convolution Interpolation for Digital Image
/// Processing", 1981, equation 15: a = -1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
