//! Where the windows of a pool lie, and how its work is split.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::geometry::{AdaptivePool2dConfig, Pool2dGeometry, Size2};

/// The windows of a pool over maps `(N, H, W, C)`.
pub(super) struct Windows {
    pub batch: usize,
    pub size: Size2,
    pub channels: usize,
    /// Input rows of each output row, clipped to the map.
    pub rows: Vec<Range<usize>>,
    /// Input columns of each output column, clipped to the map.
    pub columns: Vec<Range<usize>>,
}

impl Windows {
    /// Those of a sliding window.
    pub fn sliding(geometry: &Pool2dGeometry) -> Self {
        let config = geometry.config();
        let Size2 { height, width } = geometry.out_size();
        Self {
            batch: config.batch,
            size: Size2 {
                height: config.height,
                width: config.width,
            },
            channels: config.channels,
            rows: (0..height).map(|row| geometry.rows(row)).collect(),
            columns: (0..width).map(|column| geometry.columns(column)).collect(),
        }
    }

    /// The bins of an adaptive pool.
    pub fn adaptive(config: AdaptivePool2dConfig) -> Self {
        let AdaptivePool2dConfig {
            batch,
            height,
            width,
            channels,
            bins,
        } = config;
        let split = |size: usize, bins: usize| {
            (0..bins)
                .map(|i| i * size / bins..((i + 1) * size).div_ceil(bins))
                .collect()
        };
        Self {
            batch,
            size: Size2 { height, width },
            channels,
            rows: split(height, bins.height),
            columns: split(width, bins.width),
        }
    }

    /// Whether they are 2x2, side by side, from the map's corner on.
    pub fn are_squares_of_two(&self) -> bool {
        let in_pairs = |ranges: &[Range<usize>]| {
            let mut ranges = ranges.iter().enumerate();
            ranges.all(|(i, range)| *range == (2 * i..2 * i + 2))
        };
        in_pairs(&self.rows) && in_pairs(&self.columns)
    }

    /// Numbers in the maps read.
    pub fn input_len(&self) -> usize {
        self.batch * self.size.pixels() * self.channels
    }

    /// Numbers in the maps written.
    pub fn output_len(&self) -> usize {
        self.batch * self.rows.len() * self.columns.len() * self.channels
    }

    fn line(&self) -> usize {
        self.size.width * self.channels
    }

    /// One image of the input.
    pub fn image<'a>(&self, input: &'a [f32], image: usize) -> &'a [f32] {
        let len = self.size.pixels() * self.channels;
        &input[image * len..(image + 1) * len]
    }

    /// Output rows, in parallel.
    pub fn for_each_row(&self, output: &mut [f32], work: impl Fn(OutputRow) + Send + Sync) {
        let line = self.columns.len() * self.channels;
        if output.is_empty() {
            return;
        }
        output
            .par_chunks_mut(line)
            .enumerate()
            .for_each(|(i, output)| {
                work(OutputRow {
                    image: i / self.rows.len(),
                    row: i % self.rows.len(),
                    output,
                });
            });
    }

    /// The input's rows cut so that no window crosses a cut, in parallel.
    pub fn for_each_strip(&self, input: &mut [f32], work: impl Fn(Strip) + Send + Sync) {
        if input.is_empty() {
            return;
        }
        if self.rows.is_empty() {
            input.fill(0.0);
            return;
        }
        let apart = self
            .rows
            .windows(2)
            .all(|pair| pair[0].end <= pair[1].start);
        let starts: Vec<_> = match apart {
            true => (0..self.rows.len()).collect(),
            false => vec![0],
        };
        let mut strips = Vec::with_capacity(self.batch * starts.len());
        let mut rest = input;
        for image in 0..self.batch {
            for (i, &start) in starts.iter().enumerate() {
                let end = starts.get(i + 1).copied().unwrap_or(self.rows.len());
                let first = if i == 0 { 0 } else { self.rows[start].start };
                let last = self.rows.get(end).map_or(self.size.height, |row| row.start);
                let (input, tail) = rest.split_at_mut((last - first) * self.line());
                strips.push(Strip {
                    image,
                    rows: start..end,
                    first,
                    input,
                });
                rest = tail;
            }
        }
        strips.into_par_iter().for_each(work);
    }
}

/// A row of the output of one image.
pub(super) struct OutputRow<'a> {
    pub image: usize,
    pub row: usize,
    /// `(W', C)`.
    pub output: &'a mut [f32],
}

/// A pixel of the output, which has a window.
#[derive(Clone, Copy)]
pub(super) struct Pixel {
    pub row: usize,
    pub column: usize,
}

/// Rows of the input of one image that some windows lie in.
pub(super) struct Strip<'a> {
    pub image: usize,
    /// The output rows of these windows.
    pub rows: Range<usize>,
    /// The first input row of the strip.
    pub first: usize,
    /// `(rows, W, C)`.
    pub input: &'a mut [f32],
}
