//! What a convolution and an input gradient have in common: a filter swept
//! over a map that may have zeros around it and between its pixels.

use crate::kernels::geometry::{Conv2dConfig, Conv2dGeometry};
use crate::kernels::simd::Simd;

/// A filter swept over a map. Rows and columns of the *spread* map are those
/// of the map with `zoom - 1` zeros between any two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// Images.
    pub batch: usize,
    /// Height and width of the map read.
    pub in_size: (usize, usize),
    /// Height and width of the map written.
    pub out_size: (usize, usize),
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Height and width of the filter.
    pub kernel_size: (usize, usize),
    /// Steps in the spread map.
    pub stride: (usize, usize),
    /// Distance of two taps in the spread map.
    pub dilation: (usize, usize),
    /// Zeros above and on the left; negative where the map is cut.
    pub padding: (isize, isize),
    /// Distance of two pixels in the spread map.
    pub zoom: (usize, usize),
}

impl Sweep {
    /// The convolution itself.
    pub fn forward(geometry: &Conv2dGeometry) -> Self {
        let config = geometry.config();
        Self {
            batch: config.batch,
            in_size: (config.height, config.width),
            out_size: geometry.out_size(),
            in_channels: config.in_channels,
            out_channels: config.out_channels,
            groups: config.groups,
            kernel_size: config.kernel_size,
            stride: config.stride,
            dilation: config.dilation,
            padding: (config.padding.top as isize, config.padding.left as isize),
            zoom: (1, 1),
        }
    }

    /// The input gradient: turned filters over the spread output gradient.
    pub fn input_gradient(geometry: &Conv2dGeometry) -> Self {
        let Conv2dConfig {
            kernel_size,
            dilation,
            padding,
            ..
        } = *geometry.config();
        let forward = Self::forward(geometry);
        let reach = |taps: usize, dilation: usize, padding: usize| {
            ((taps - 1) * dilation) as isize - padding as isize
        };
        Self {
            in_size: forward.out_size,
            out_size: forward.in_size,
            in_channels: forward.out_channels,
            out_channels: forward.in_channels,
            stride: (1, 1),
            padding: (
                reach(kernel_size.0, dilation.0, padding.top),
                reach(kernel_size.1, dilation.1, padding.left),
            ),
            zoom: forward.stride,
            ..forward
        }
    }

    /// Whether Winograd's algorithm for 3x3 filters applies.
    pub fn is_winograd(&self) -> bool {
        self.kernel_size == (3, 3)
            && self.stride == (1, 1)
            && self.dilation == (1, 1)
            && self.zoom == (1, 1)
            && self.groups == 1
    }

    /// Numbers in one image read.
    pub fn in_image(&self) -> usize {
        self.in_size.0 * self.in_size.1 * self.in_channels
    }

    /// Numbers in one image written.
    pub fn out_image(&self) -> usize {
        self.out_size.0 * self.out_size.1 * self.out_channels
    }

    /// Columns of the spread map that one output row reads.
    pub fn padded_width(&self) -> usize {
        (self.out_size.1 - 1) * self.stride.1 + (self.kernel_size.1 - 1) * self.dilation.1 + 1
    }

    /// Rows of the spread map that `rows` output rows read.
    pub fn padded_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride.0 + (self.kernel_size.0 - 1) * self.dilation.0 + 1
    }

    /// A tap row as one run of numbers where taps touch, else one tap a run:
    /// runs a row, numbers a run.
    pub fn runs(&self) -> (usize, usize) {
        let channels = self.in_channels / self.groups;
        if self.groups == 1 && self.dilation.1 == 1 {
            (1, self.kernel_size.1 * channels)
        } else {
            (self.kernel_size.1, channels)
        }
    }
}

/// A map to read, seen through the ReLU that made `gate`: 0 where `gate` is
/// not positive.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The numbers, `(N, H, W, C)`.
    pub data: &'a [f32],
    /// As many numbers.
    pub gate: Option<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// The part `range` of it.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Source<'a> {
        Source {
            data: &self.data[range.clone()],
            gate: self.gate.map(|gate| &gate[range]),
        }
    }

    /// Copies it, gated.
    #[inline(always)]
    pub fn copy_to<S: Simd>(&self, simd: S, target: &mut [f32]) {
        let Some(gate) = self.gate else {
            target.copy_from_slice(self.data);
            return;
        };
        let len = target.len();
        assert!(self.data.len() == len && gate.len() == len);
        for i in (0..len).step_by(S::LANES) {
            let count = S::LANES.min(len - i);
            // SAFETY: `i + count` is at most the length of all three.
            unsafe {
                let gate = simd.load_up_to(gate.as_ptr().add(i), count);
                let value = simd.load_up_to(self.data.as_ptr().add(i), count);
                let value = simd.where_positive(gate, value);
                simd.store_up_to(target.as_mut_ptr().add(i), count, value);
            }
        }
    }
}

/// Copies rows of the padded, spread map of one image: `target` is
/// `(rows, padded_width, C)`, its first row that of output row `first`.
#[inline(always)]
pub(super) fn copy_rows<S: Simd>(
    simd: S,
    sweep: &Sweep,
    image: Source,
    first: usize,
    target: &mut [f32],
) {
    let pitch = sweep.padded_width() * sweep.in_channels;
    let line = sweep.in_size.1 * sweep.in_channels;
    for (r, row) in target.chunks_exact_mut(pitch).enumerate() {
        let spread = (first * sweep.stride.0 + r) as isize - sweep.padding.0;
        let y = spread.div_euclid(sweep.zoom.0 as isize);
        if spread.rem_euclid(sweep.zoom.0 as isize) != 0 || y < 0 || y >= sweep.in_size.0 as isize {
            row.fill(0.0);
        } else {
            let start = y as usize * line;
            copy_row(simd, sweep, image.slice(start..start + line), row);
        }
    }
}

#[inline(always)]
fn copy_row<S: Simd>(simd: S, sweep: &Sweep, line: Source, row: &mut [f32]) {
    let channels = sweep.in_channels;
    let (padding, zoom) = (sweep.padding.1, sweep.zoom.1);
    if zoom == 1 {
        let before = padding.max(0) as usize * channels;
        let skipped = (-padding).max(0) as usize * channels;
        let start = before.min(row.len());
        let count = line
            .data
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
    for x in 0..sweep.in_size.1 {
        let column = (x * zoom) as isize + padding;
        if column >= 0 && (column as usize) * channels < row.len() {
            let pixel = line.slice(x * channels..(x + 1) * channels);
            let column = column as usize * channels;
            pixel.copy_to(simd, &mut row[column..column + channels]);
        }
    }
}
