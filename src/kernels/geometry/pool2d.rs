//! The sizes of a pool, checked once.

use std::ops::Range;

use super::error::{countable, non_zero};
use super::window::Window;
use super::{GeometryError, Padding, Size2};

/// Pixels of a window: their positions are counted in `f32`.
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
    pub kernel_size: Size2,
    /// Pixels from one window to the next, down and across.
    pub stride: Size2,
    /// Pixels around the input that count for nothing: at most half the
    /// window, so that every window covers a pixel.
    pub padding: Padding,
}

impl Pool2dConfig {
    fn window(&self) -> Window {
        Window {
            size: Size2 {
                height: self.height,
                width: self.width,
            },
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: Size2::square(1),
            padding: self.padding,
        }
    }
}

/// The sizes of an adaptive pool: bin `i` of `n` spans `floor(i H / n)` to
/// `ceil((i + 1) H / n)` as in PyTorch. One bin covers all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdaptivePool2dConfig {
    /// Images; may be 0.
    pub batch: usize,
    /// Height of the input in pixels.
    pub height: usize,
    /// Width of the input in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Bins, the output's pixels.
    pub bins: Size2,
}

/// The sizes of a 2-D pool that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dGeometry {
    config: Pool2dConfig,
    out_size: Size2,
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
            ..
        } = config;
        non_zero(&[
            (height, "height"),
            (width, "width"),
            (channels, "channels"),
            (kernel_size.height.min(kernel_size.width), "kernel_size"),
            (stride.height.min(stride.width), "stride"),
        ])?;
        if kernel_size.height.saturating_mul(kernel_size.width) > MOST_PIXELS {
            return Err(GeometryError::Overflow);
        }
        let window = config.window();
        window.down().check_padding()?;
        window.across().check_padding()?;
        let out_size = window.out_size()?;
        countable(&[batch, height, width, channels])?;
        countable(&[batch, out_size.height, out_size.width, channels])?;
        Ok(Self { config, out_size })
    }

    /// The sizes as given.
    pub fn config(&self) -> &Pool2dConfig {
        &self.config
    }

    /// Height and width of the output.
    pub fn out_size(&self) -> Size2 {
        self.out_size
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
        self.config.batch * self.out_size.pixels() * self.config.channels
    }

    /// Input rows under output row `row`, clipped to the feature map.
    pub(in crate::kernels) fn rows(&self, row: usize) -> Range<usize> {
        self.config.window().down().covered(row)
    }

    /// Input columns under output column `column`, clipped likewise.
    pub(in crate::kernels) fn columns(&self, column: usize) -> Range<usize> {
        self.config.window().across().covered(column)
    }
}
