//! The sizes of a convolution, checked once.

use super::error::{countable, non_zero};
use super::window::Window;
use super::{GeometryError, Padding, Size2};

/// The sizes of a 2-D convolution, before they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dConfig {
    /// Images; may be 0.
    pub batch: usize,
    /// Height and width of the input in pixels.
    pub size: Size2,
    /// Input channels, a multiple of `groups`.
    pub in_channels: usize,
    /// Output channels, a multiple of `groups`.
    pub out_channels: usize,
    pub kernel_size: Size2,
    pub stride: Size2,
    pub padding: Padding,
    /// Distance between taps in pixels, down and across.
    pub dilation: Size2,
    pub groups: usize,
}

impl Conv2dConfig {
    fn window(&self) -> Window {
        Window {
            size: self.size,
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
        }
    }
}

/// The sizes of a 2-D convolution, checked against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dGeometry {
    config: Conv2dConfig,
    out_size: Size2,
}

impl Conv2dGeometry {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`GeometryError`] for a zero (only batch, height and width may be 0),
    /// channels that `groups` does not divide, a window larger than the padded
    /// input, or sizes whose product overflows.
    pub fn new(config: Conv2dConfig) -> Result<Self, GeometryError> {
        let Conv2dConfig {
            batch,
            size,
            in_channels,
            out_channels,
            groups,
            kernel_size,
            stride,
            padding,
            dilation,
        } = config;
        non_zero(&[
            (in_channels, "in_channels"),
            (out_channels, "out_channels"),
            (groups, "groups"),
            (kernel_size.height.min(kernel_size.width), "kernel_size"),
            (stride.height.min(stride.width), "stride"),
            (dilation.height.min(dilation.width), "dilation"),
        ])?;
        if !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
            return Err(GeometryError::Groups {
                in_channels,
                out_channels,
                groups,
            });
        }
        let out_size = config.window().out_size()?;
        let padded_height = size.height + padding.top + padding.bottom;
        let padded_width = size.width + padding.left + padding.right;
        countable(&[batch, padded_height, padded_width, in_channels])?;
        countable(&[
            batch,
            out_size.height,
            out_size.width,
            out_channels,
            stride.height,
            stride.width,
        ])?;
        countable(&[
            out_channels,
            in_channels,
            kernel_size.height,
            kernel_size.width,
            36,
        ])?;
        Ok(Self { config, out_size })
    }

    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }

    pub fn out_size(&self) -> Size2 {
        self.out_size
    }

    /// The number of input values, `(N, H, W, C)`.
    pub fn input_len(&self) -> usize {
        self.config.batch * self.config.size.pixels() * self.config.in_channels
    }

    #[track_caller]
    pub(in crate::kernels) fn assert_input(&self, len: usize) {
        assert_eq!(len, self.input_len(), "length of the input");
    }

    pub fn output_len(&self) -> usize {
        self.config.batch * self.out_size.pixels() * self.config.out_channels
    }

    /// The number of weights in the filter, `(O, I / groups, kH, kW)`.
    pub fn filter_len(&self) -> usize {
        let config = &self.config;
        config.out_channels * (config.in_channels / config.groups) * config.kernel_size.pixels()
    }

    /// The number of output values after a 2x2 pool of stride 2.
    pub fn pooled_len(&self) -> usize {
        self.config.batch * self.out_size.halved().pixels() * self.config.out_channels
    }

    pub(in crate::kernels) fn with_batch(mut self, batch: usize) -> Self {
        debug_assert!(batch <= self.config.batch);
        self.config.batch = batch;
        self
    }
}
