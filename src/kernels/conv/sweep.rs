//! Convolutions and input gradients as one computation, a *sweep*: a filter slides
//! over a feature map that may have zeros around it and between its pixels.

use crate::kernels::gated::Gated;
use crate::kernels::geometry::{Conv2dGeometry, Size2};
use crate::kernels::simd::Simd;

/// The most bytes of a strip's padded input: they fit in most level-2 caches.
pub(super) const STRIP_BYTES: usize = 256 << 10;

/// A position in a feature map. It may lie outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corner {
    pub top: isize,
    pub left: isize,
}

/// Whether a sweep computes a convolution or its input gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Forward,
    /// The gradient of the convolution's input: input and output channels swap
    /// roles, and the taps are reversed.
    InputGradient,
}

/// The sizes of a sweep. The *spread* feature map is the input with `zoom - 1`
/// zeros between any two rows and any two columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    pub batch: usize,
    pub in_size: Size2,
    pub out_size: Size2,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    pub kernel_size: Size2,
    /// Distance between outputs, in pixels of the spread feature map.
    pub stride: Size2,
    /// Distance between taps, in pixels of the spread feature map.
    pub dilation: Size2,
    /// Rows of zeros above and columns of zeros on the left. Negative values
    /// crop the feature map.
    pub padding: Corner,
    /// Distance between input pixels in the spread feature map.
    pub zoom: Size2,
}

impl Sweep {
    pub fn new(geometry: &Conv2dGeometry, direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::forward(geometry),
            Direction::InputGradient => Self::input_gradient(geometry),
        }
    }

    fn forward(geometry: &Conv2dGeometry) -> Self {
        let config = geometry.config();
        Self {
            batch: config.batch,
            in_size: config.size,
            out_size: geometry.out_size(),
            in_channels: config.in_channels,
            out_channels: config.out_channels,
            groups: config.groups,
            kernel_size: config.kernel_size,
            stride: config.stride,
            dilation: config.dilation,
            padding: Corner {
                top: config.padding.top as isize,
                left: config.padding.left as isize,
            },
            zoom: Size2::square(1),
        }
    }

    /// The reversed filter slides over the spread output gradient.
    fn input_gradient(geometry: &Conv2dGeometry) -> Self {
        let forward = Self::forward(geometry);
        let (kernel_size, dilation) = (forward.kernel_size, forward.dilation);
        let padding = geometry.config().padding;
        let reach = |taps: usize, dilation: usize, padding: usize| {
            ((taps - 1) * dilation) as isize - padding as isize
        };
        Self {
            in_size: forward.out_size,
            out_size: forward.in_size,
            in_channels: forward.out_channels,
            out_channels: forward.in_channels,
            stride: Size2::square(1),
            padding: Corner {
                top: reach(kernel_size.height, dilation.height, padding.top),
                left: reach(kernel_size.width, dilation.width, padding.left),
            },
            zoom: forward.stride,
            ..forward
        }
    }

    /// Whether Winograd's algorithm for 3x3 filters applies.
    pub fn is_winograd(&self) -> bool {
        self.kernel_size == Size2::square(3)
            && self.stride == Size2::square(1)
            && self.dilation == Size2::square(1)
            && self.zoom == Size2::square(1)
            && self.groups == 1
    }

    /// The position of the first tap for an output, if the stride is 1.
    pub fn corner(&self, row: usize, column: usize) -> Corner {
        Corner {
            top: row as isize - self.padding.top,
            left: column as isize - self.padding.left,
        }
    }

    /// The number of input values of one image.
    pub fn in_image(&self) -> usize {
        self.in_size.pixels() * self.in_channels
    }

    /// The number of output values of one image.
    pub fn out_image(&self) -> usize {
        self.out_size.pixels() * self.out_channels
    }

    /// The number of values of a padded row that an output row reads.
    pub fn padded_pitch(&self) -> usize {
        let strides = (self.out_size.width - 1) * self.stride.width;
        let columns = strides + (self.kernel_size.width - 1) * self.dilation.width + 1;
        columns * self.in_channels
    }

    /// How many output rows have a padded input of at most `bytes`; may be 0.
    pub fn rows_within(&self, bytes: usize) -> usize {
        bytes / size_of::<f32>() / (self.padded_pitch() * self.stride.height)
    }

    /// The number of padded rows that `rows` output rows read.
    pub fn padded_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride.height + (self.kernel_size.height - 1) * self.dilation.height + 1
    }

    /// One run if the taps of a row are contiguous in memory, else one run per tap.
    pub fn runs(&self) -> Runs {
        let channels = self.in_channels / self.groups;
        if self.groups == 1 && self.dilation.width == 1 {
            Runs {
                count: 1,
                len: self.kernel_size.width * channels,
            }
        } else {
            Runs {
                count: self.kernel_size.width,
                len: channels,
            }
        }
    }
}

/// The contiguous runs of values that a row of taps reads: how many, and how long.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    pub count: usize,
    pub len: usize,
}

/// Copies rows of the padded, spread feature map of one image to `target`, in
/// rows of `padded_pitch` values. The first is the first one that output row
/// `first` reads.
#[inline(always)]
pub(super) fn copy_rows<S: Simd>(
    simd: S,
    sweep: &Sweep,
    image: Gated,
    first: usize,
    target: &mut [f32],
) {
    let pitch = sweep.padded_pitch();
    let line = sweep.in_size.width * sweep.in_channels;
    for (r, row) in target.chunks_exact_mut(pitch).enumerate() {
        let spread = (first * sweep.stride.height + r) as isize - sweep.padding.top;
        let y = spread.div_euclid(sweep.zoom.height as isize);
        if spread.rem_euclid(sweep.zoom.height as isize) != 0
            || y < 0
            || y >= sweep.in_size.height as isize
        {
            row.fill(0.0);
        } else {
            let start = y as usize * line;
            copy_row(simd, sweep, image.slice(start..start + line), row);
        }
    }
}

#[inline(always)]
fn copy_row<S: Simd>(simd: S, sweep: &Sweep, line: Gated, row: &mut [f32]) {
    let channels = sweep.in_channels;
    let (padding, zoom) = (sweep.padding.left, sweep.zoom.width);
    if zoom == 1 {
        let before = padding.max(0) as usize * channels;
        let skipped = (-padding).max(0) as usize * channels;
        let start = before.min(row.len());
        let count = line
            .values
            .len()
            .saturating_sub(skipped)
            .min(row.len() - start);
        row[..start].fill(0.0);
        row[start + count..].fill(0.0);
        if count > 0 {
            line.slice(skipped..skipped + count)
                .copy_to(simd, &mut row[start..start + count]);
        }
        return;
    }
    row.fill(0.0);
    for x in 0..sweep.in_size.width {
        let column = (x * zoom) as isize + padding;
        if column >= 0 && (column as usize) * channels < row.len() {
            let pixel = line.slice(x * channels..(x + 1) * channels);
            let column = column as usize * channels;
            pixel.copy_to(simd, &mut row[column..column + channels]);
        }
    }
}
