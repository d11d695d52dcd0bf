//! The sizes of a convolution, checked once.

use super::error::{countable, non_zero};
use super::window::Window;
use super::{GeometryError, Padding, Size2};

/// The sizes of a 2-D convolution, before they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dConfig {
    /// Images; may be 0.
    pub batch: usize,
    /// Height of the input in pixels.
    pub height: usize,
    /// Width of the input in pixels.
    pub width: usize,
    /// Channels in, a multiple of `groups`.
    pub in_channels: usize,
    /// Channels out, a multiple of `groups`.
    pub out_channels: usize,
    /// Height and width of the filter.
    pub kernel_size: Size2,
    /// Pixels from one output to the next, down and across.
    pub stride: Size2,
    /// Zeros around the input.
    pub padding: Padding,
    /// Pixels from one tap to the next, down and across.
    pub dilation: Size2,
    /// Groups of channels that don't see each other.
    pub groups: usize,
}

impl Conv2dConfig {
    /// A square convolution of stride 1 with padding `(kernel - 1) / 2` on
    /// all sides, over one pixel of one channel.
    #[cfg(test)]
    pub fn same(kernel: usize) -> Self {
        Self {
            batch: 1,
            height: 1,
            width: 1,
            in_channels: 1,
            out_channels: 1,
            kernel_size: Size2::square(kernel),
            stride: Size2::square(1),
            padding: Padding::all(kernel.saturating_sub(1) / 2),
            dilation: Size2::square(1),
            groups: 1,
        }
    }

    /// Over so many images of this size.
    #[cfg(test)]
    pub fn images(self, batch: usize, height: usize, width: usize) -> Self {
        Self {
            batch,
            height,
            width,
            ..self
        }
    }

    /// With so many channels in and out.
    #[cfg(test)]
    pub fn channels(self, in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            ..self
        }
    }

    fn window(&self) -> Window {
        Window {
            size: Size2 {
                height: self.height,
                width: self.width,
            },
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
        }
    }
}

/// The sizes of a 2-D convolution that fit each other.
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
    /// channels that don't divide, a window that does not fit, or sizes whose
    /// product overflows.
    pub fn new(config: Conv2dConfig) -> Result<Self, GeometryError> {
        let Conv2dConfig {
            batch,
            height,
            width,
            in_channels,
            out_channels,
            groups,
            ..
        } = config;
        let Conv2dConfig {
            kernel_size,
            stride,
            dilation,
            padding,
            ..
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
        let padded_height = height + padding.top + padding.bottom;
        let padded_width = width + padding.left + padding.right;
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

    /// The sizes as given.
    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }

    /// Height and width of the output.
    pub fn out_size(&self) -> Size2 {
        self.out_size
    }

    /// Numbers in the input, `N H W C`.
    pub fn input_len(&self) -> usize {
        let Conv2dConfig {
            batch,
            height,
            width,
            in_channels,
            ..
        } = self.config;
        batch * height * width * in_channels
    }

    /// Numbers in the output.
    pub fn output_len(&self) -> usize {
        self.config.batch * self.out_size.pixels() * self.config.out_channels
    }

    /// Numbers in the filter, `O (I / groups) kH kW`.
    pub fn filter_len(&self) -> usize {
        let Conv2dConfig {
            in_channels,
            out_channels,
            groups,
            kernel_size,
            ..
        } = self.config;
        out_channels * (in_channels / groups) * kernel_size.pixels()
    }

    /// Numbers in the output after a 2x2 pool of stride 2.
    pub fn pooled_len(&self) -> usize {
        let pooled = self.out_size.halved();
        self.config.batch * pooled.pixels() * self.config.out_channels
    }

    /// The same for a part of the batch.
    pub(in crate::kernels) fn with_batch(&self, batch: usize) -> Self {
        debug_assert!(batch <= self.config.batch);
        Self {
            config: Conv2dConfig {
                batch,
                ..self.config
            },
            ..*self
        }
    }
}
