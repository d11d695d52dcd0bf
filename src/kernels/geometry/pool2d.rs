//! The sizes of a pool, checked once.

use super::{GeometryError, Padding, non_zero, outputs, product};

/// Pixels of a window: their places are counted in `f32`.
const MOST_PIXELS: usize = 1 << 24;

/// The sizes of a 2-D pool, before they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dConfig {
    /// Images; may be 0.
    pub batch: usize,
    /// Height of the input in pixels.
    pub height: usize,
    /// Width of the input in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width of the window.
    pub kernel_size: (usize, usize),
    /// Pixels from one window to the next, down and across.
    pub stride: (usize, usize),
    /// Pixels around the input that count for nothing: at most half the
    /// window, so that every window covers a pixel.
    pub padding: Padding,
}

/// The sizes of a 2-D pool that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dGeometry {
    config: Pool2dConfig,
    out_height: usize,
    out_width: usize,
}

impl Pool2dGeometry {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`GeometryError`] for a zero (only batch may be 0), padding above half
    /// the window, a window that does not fit, or sizes whose product
    /// overflows.
    pub fn new(config: Pool2dConfig) -> Result<Self, GeometryError> {
        let Pool2dConfig {
            batch,
            height,
            width,
            channels,
            kernel_size,
            stride,
            padding,
        } = config;
        non_zero(&[
            (height, "height"),
            (width, "width"),
            (channels, "channels"),
            (kernel_size.0.min(kernel_size.1), "kernel_size"),
            (stride.0.min(stride.1), "stride"),
        ])?;
        if kernel_size.0.saturating_mul(kernel_size.1) > MOST_PIXELS {
            return Err(GeometryError::Overflow);
        }
        for (padding, window) in [
            (padding.top.max(padding.bottom), kernel_size.0),
            (padding.left.max(padding.right), kernel_size.1),
        ] {
            if padding > window / 2 {
                return Err(GeometryError::Padding { padding, window });
            }
        }
        let out_height = outputs(
            (height, padding.top, padding.bottom),
            (kernel_size.0, stride.0, 1),
        )?;
        let out_width = outputs(
            (width, padding.left, padding.right),
            (kernel_size.1, stride.1, 1),
        )?;
        product(&[batch, height, width, channels])?;
        product(&[batch, out_height, out_width, channels])?;
        Ok(Self {
            config,
            out_height,
            out_width,
        })
    }

    /// The sizes as given.
    pub fn config(&self) -> &Pool2dConfig {
        &self.config
    }

    /// Height and width of the output.
    pub fn out_size(&self) -> (usize, usize) {
        (self.out_height, self.out_width)
    }

    /// Numbers in the input.
    pub fn input_len(&self) -> usize {
        let Pool2dConfig {
            batch,
            height,
            width,
            channels,
            ..
        } = self.config;
        batch * height * width * channels
    }

    /// Numbers in the output.
    pub fn output_len(&self) -> usize {
        self.config.batch * self.out_height * self.out_width * self.config.channels
    }

    /// Input rows under output row `row`, clipped to the map.
    pub(in crate::kernels) fn rows(&self, row: usize) -> std::ops::Range<usize> {
        let Pool2dConfig {
            height,
            kernel_size,
            stride,
            padding,
            ..
        } = self.config;
        clip(row * stride.0, padding.top, kernel_size.0, height)
    }

    /// Input columns under output column `column`, clipped to the map.
    pub(in crate::kernels) fn columns(&self, column: usize) -> std::ops::Range<usize> {
        let Pool2dConfig {
            width,
            kernel_size,
            stride,
            padding,
            ..
        } = self.config;
        clip(column * stride.1, padding.left, kernel_size.1, width)
    }
}

fn clip(start: usize, before: usize, window: usize, size: usize) -> std::ops::Range<usize> {
    let end = (start + window).saturating_sub(before).min(size);
    start.saturating_sub(before).min(end)..end
}
