//! The windows of a pool, and how its work is split.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::geometry::{
    FeatureMaps, GeometryError, Padding, Size2, Window, countable, non_zero,
};

/// The most pixels of a window: their positions are counted in `f32`.
const MOST_PIXELS: usize = 1 << 24;

/// The sizes of a sliding pool, before they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dConfig {
    pub input: FeatureMaps,
    pub kernel_size: Size2,
    pub stride: Size2,
    /// Padding around the input, which is ignored. It is at most half the
    /// window: every window then covers a pixel.
    pub padding: Padding,
}

/// The windows of a pool over feature maps `(N, H, W, C)`: the input rows of
/// each output row, and the input columns of each output column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolWindows {
    pub(super) input: FeatureMaps,
    /// The input rows of each output row, clipped to the feature map.
    pub(super) rows: Vec<Range<usize>>,
    /// The input columns of each output column, clipped to the feature map.
    pub(super) columns: Vec<Range<usize>>,
}

impl PoolWindows {
    /// The windows of a sliding pool.
    ///
    /// # Errors
    /// [`GeometryError`] for a zero (only the batch may be 0), padding above
    /// half the window, a window that does not fit, or sizes whose product
    /// overflows.
    pub fn sliding(config: Pool2dConfig) -> Result<Self, GeometryError> {
        let Pool2dConfig {
            input,
            kernel_size,
            stride,
            padding,
        } = config;
        let FeatureMaps {
            batch,
            size,
            channels,
        } = input;
        non_zero(&[
            (size.height, "height"),
            (size.width, "width"),
            (channels, "channels"),
            (kernel_size.height.min(kernel_size.width), "kernel_size"),
            (stride.height.min(stride.width), "stride"),
        ])?;
        if kernel_size.height.saturating_mul(kernel_size.width) > MOST_PIXELS {
            return Err(GeometryError::Overflow);
        }
        let window = Window {
            size,
            kernel_size,
            stride,
            dilation: Size2::square(1),
            padding,
        };
        let (down, across) = (window.down(), window.across());
        down.check_padding()?;
        across.check_padding()?;
        let out_size = window.out_size()?;
        countable(&[batch, size.height, size.width, channels])?;
        countable(&[batch, out_size.height, out_size.width, channels])?;
        Ok(Self {
            input,
            rows: (0..out_size.height).map(|row| down.covered(row)).collect(),
            columns: (0..out_size.width)
                .map(|column| across.covered(column))
                .collect(),
        })
    }

    /// The bins of an adaptive pool: bin `i` of `n` spans `floor(i H / n)` to
    /// `ceil((i + 1) H / n)` as in PyTorch. One bin covers the whole input.
    pub fn adaptive(input: FeatureMaps, bins: Size2) -> Self {
        let split = |size: usize, bins: usize| {
            (0..bins)
                .map(|i| i * size / bins..((i + 1) * size).div_ceil(bins))
                .collect()
        };
        Self {
            input,
            rows: split(input.size.height, bins.height),
            columns: split(input.size.width, bins.width),
        }
    }

    pub fn out_size(&self) -> Size2 {
        Size2 {
            height: self.rows.len(),
            width: self.columns.len(),
        }
    }

    /// Whether the pool is 2x2 with stride 2, without padding, and drops an odd
    /// last row or column.
    pub fn is_halving(&self) -> bool {
        self.are_squares_of_two() && self.out_size() == self.input.size.halved()
    }

    /// Whether the windows are 2x2 and lie side by side from the corner of
    /// the feature map.
    pub(super) fn are_squares_of_two(&self) -> bool {
        let in_pairs = |ranges: &[Range<usize>]| {
            let mut ranges = ranges.iter().enumerate();
            ranges.all(|(i, range)| *range == (2 * i..2 * i + 2))
        };
        in_pairs(&self.rows) && in_pairs(&self.columns)
    }

    pub fn input_len(&self) -> usize {
        self.input.batch * self.input.size.pixels() * self.input.channels
    }

    pub fn output_len(&self) -> usize {
        self.input.batch * self.out_size().pixels() * self.input.channels
    }

    #[track_caller]
    pub(super) fn assert_input(&self, len: usize) {
        assert_eq!(len, self.input_len(), "length of the input");
    }

    #[track_caller]
    pub(super) fn assert_output(&self, len: usize) {
        assert_eq!(len, self.output_len(), "length of the output");
    }

    fn line(&self) -> usize {
        self.input.size.width * self.input.channels
    }

    pub(super) fn image<'a>(&self, input: &'a [f32], image: usize) -> &'a [f32] {
        let len = self.input.size.pixels() * self.input.channels;
        &input[image * len..(image + 1) * len]
    }

    /// Calls `work` for each output row, in parallel.
    pub(super) fn for_each_row(&self, output: &mut [f32], work: impl Fn(OutputRow) + Send + Sync) {
        let line = self.columns.len() * self.input.channels;
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

    /// Cuts the input into strips of rows, and calls `work` for each strip, in
    /// parallel. No window spans two strips.
    pub(super) fn for_each_strip(&self, input: &mut [f32], work: impl Fn(Strip) + Send + Sync) {
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
        let mut strips = Vec::with_capacity(self.input.batch * starts.len());
        let mut rest = input;
        for image in 0..self.input.batch {
            for (i, &start) in starts.iter().enumerate() {
                let end = starts.get(i + 1).copied().unwrap_or(self.rows.len());
                let first = if i == 0 { 0 } else { self.rows[start].start };
                let last = self.rows.get(end);
                let last = last.map_or(self.input.size.height, |row| row.start);
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

pub(super) struct OutputRow<'a> {
    pub image: usize,
    pub row: usize,
    /// `(W', C)`.
    pub output: &'a mut [f32],
}

/// A pixel of the output.
#[derive(Clone, Copy)]
pub(super) struct Pixel {
    pub row: usize,
    pub column: usize,
}

/// Input rows of one image, with the windows that lie in them.
pub(super) struct Strip<'a> {
    pub image: usize,
    /// The output rows of these windows.
    pub rows: Range<usize>,
    /// The first input row of the strip.
    pub first: usize,
    /// `(rows, W, C)`.
    pub input: &'a mut [f32],
}
