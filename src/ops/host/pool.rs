use candle_core::Result;

use crate::kernels::{self, AdaptivePool2dConfig, Kernel, Pool2dConfig, Pool2dGeometry, Size2};
use crate::layer::{Margins, Window};

use super::conv::padding;
use super::operator::Backward;
use super::tensors::{Extent, refused};

/// A pool at its sizes.
#[derive(Debug)]
pub(super) enum Pool {
    Max(Pool2dGeometry),
    Avg(Pool2dGeometry),
    Adaptive(AdaptivePool2dConfig),
}

impl Pool {
    pub(super) fn max(extent: Extent, window: Window) -> Result<(Self, Extent)> {
        let (geometry, output) = sliding(extent, window)?;
        Ok((Self::Max(geometry), output))
    }

    pub(super) fn avg(extent: Extent, window: Window) -> Result<(Self, Extent)> {
        let (geometry, output) = sliding(extent, window)?;
        Ok((Self::Avg(geometry), output))
    }

    pub(super) fn adaptive(extent: Extent, bins: (usize, usize)) -> Result<(Self, Extent)> {
        let (batch, height, width, channels) = map(extent)?;
        let output = Extent::Map {
            batch,
            height: bins.0,
            width: bins.1,
            channels,
        };
        let config = AdaptivePool2dConfig {
            batch,
            height,
            width,
            channels,
            bins: bins.into(),
        };
        Ok((Self::Adaptive(config), output))
    }

    pub(super) fn global_avg(extent: Extent) -> Result<(Self, Extent)> {
        let (pool, output) = Self::adaptive(extent, (1, 1))?;
        Ok((pool, rows(output)))
    }

    pub(super) fn global_max(extent: Extent) -> Result<(Self, Extent)> {
        let (_, height, width, _) = map(extent)?;
        let window = Window {
            kernel_size: (height, width),
            ..Window::POINT
        };
        let (pool, output) = Self::max(extent, window)?;
        Ok((pool, rows(output)))
    }

    /// Whether a convolution can apply it as it writes its output.
    pub(super) fn is_halving(&self) -> bool {
        let Self::Max(geometry) = self else {
            return false;
        };
        let Pool2dConfig {
            kernel_size,
            stride,
            padding,
            ..
        } = *geometry.config();
        let two = Size2::square(2);
        kernel_size == two && stride == two && padding == kernels::Padding::default()
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        let kernel = Kernel::selected();
        match self {
            Self::Max(geometry) => kernels::max_pool2d(kernel, geometry, input, output),
            Self::Avg(geometry) => kernels::avg_pool2d(kernel, geometry, input, output),
            Self::Adaptive(config) => {
                kernels::adaptive_avg_pool2d(kernel, *config, input, output);
            }
        }
    }

    pub(super) fn backward(&self, at: Backward<'_>) {
        let Some(grad_input) = at.grad_input else {
            return;
        };
        let (kernel, gradient) = (Kernel::selected(), at.grad_output);
        match self {
            Self::Max(geometry) => {
                kernels::max_pool2d_gradient(kernel, geometry, at.input, gradient, grad_input);
            }
            Self::Avg(geometry) => {
                kernels::avg_pool2d_gradient(kernel, geometry, gradient, grad_input);
            }
            Self::Adaptive(config) => {
                kernels::adaptive_avg_pool2d_gradient(kernel, *config, gradient, grad_input);
            }
        }
    }
}

fn map(extent: Extent) -> Result<(usize, usize, usize, usize)> {
    match extent {
        Extent::Map {
            batch,
            height,
            width,
            channels,
        } => Ok((batch, height, width, channels)),
        Extent::Rows { .. } => candle_core::bail!("a pool takes maps, not {extent:?}"),
    }
}

fn rows(extent: Extent) -> Extent {
    match extent {
        Extent::Map {
            batch, channels, ..
        } => Extent::Rows {
            batch,
            features: channels,
        },
        rows => rows,
    }
}

fn sliding(extent: Extent, window: Window) -> Result<(Pool2dGeometry, Extent)> {
    let (batch, height, width, channels) = map(extent)?;
    let margins: Margins = window.margins(height, width);
    let geometry = Pool2dGeometry::new(Pool2dConfig {
        batch,
        height,
        width,
        channels,
        kernel_size: window.kernel_size.into(),
        stride: window.stride.into(),
        padding: padding(margins),
    })
    .map_err(refused)?;
    let Size2 { height, width } = geometry.out_size();
    let output = Extent::Map {
        batch,
        height,
        width,
        channels,
    };
    Ok((geometry, output))
}
