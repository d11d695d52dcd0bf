//! The sizes of a convolution, checked once.

use super::{GeometryError, Padding, non_zero, outputs, product};

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
    pub kernel_size: (usize, usize),
    /// Pixels from one output to the next, down and across.
    pub stride: (usize, usize),
    /// Zeros around the input.
    pub padding: Padding,
    /// Pixels from one tap to the next, down and across.
    pub dilation: (usize, usize),
    /// Groups of channels that don't see each other.
    pub groups: usize,
}

impl Conv2dConfig {
    /// A square stride-1 convolution of one group with padding
    /// `(kernel - 1) / 2` on all sides: `(batch, height, width)` and
    /// `(in_channels, out_channels)`.
    #[cfg(test)]
    pub fn same(map: (usize, usize, usize), channels: (usize, usize), kernel: usize) -> Self {
        Self {
            batch: map.0,
            height: map.1,
            width: map.2,
            in_channels: channels.0,
            out_channels: channels.1,
            kernel_size: (kernel, kernel),
            stride: (1, 1),
            padding: Padding::all(kernel.saturating_sub(1) / 2),
            dilation: (1, 1),
            groups: 1,
        }
    }
}

/// The sizes of a 2-D convolution that fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dGeometry {
    config: Conv2dConfig,
    out_height: usize,
    out_width: usize,
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
            (kernel_size.0.min(kernel_size.1), "kernel_size"),
            (stride.0.min(stride.1), "stride"),
            (dilation.0.min(dilation.1), "dilation"),
        ])?;
        if !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
            return Err(GeometryError::Groups {
                in_channels,
                out_channels,
                groups,
            });
        }
        let out_height = outputs(
            (height, padding.top, padding.bottom),
            (kernel_size.0, stride.0, dilation.0),
        )?;
        let out_width = outputs(
            (width, padding.left, padding.right),
            (kernel_size.1, stride.1, dilation.1),
        )?;
        let padded_height = height + padding.top + padding.bottom;
        let padded_width = width + padding.left + padding.right;
        product(&[batch, padded_height, padded_width, in_channels])?;
        product(&[
            batch,
            out_height,
            out_width,
            out_channels,
            stride.0,
            stride.1,
        ])?;
        product(&[out_channels, in_channels, kernel_size.0, kernel_size.1, 36])?;
        Ok(Self {
            config,
            out_height,
            out_width,
        })
    }

    /// The sizes as given.
    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }

    /// Height and width of the output.
    pub fn out_size(&self) -> (usize, usize) {
        (self.out_height, self.out_width)
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
        self.config.batch * self.out_height * self.out_width * self.config.out_channels
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
        out_channels * (in_channels / groups) * kernel_size.0 * kernel_size.1
    }

    /// Numbers in the output after a 2x2 pool of stride 2.
    pub fn pooled_len(&self) -> usize {
        let Conv2dConfig {
            batch,
            out_channels,
            ..
        } = self.config;
        batch * (self.out_height / 2) * (self.out_width / 2) * out_channels
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
