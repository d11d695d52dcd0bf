use std::fmt;

use candle_core::Result;

use crate::kernels::{self, AdaptivePool2dConfig, Kernel, Pool2dConfig, Pool2dGeometry, Size2};
use crate::layer::Window;
use crate::ops::memory::Extent;

use super::conv::padding;
use super::pass::Backward;

/// A pool at its sizes.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(in crate::ops) kind: PoolKind,
    call: Call,
    output: Extent,
}

/// What a pool computes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PoolKind {
    Max(Window),
    Avg(Window),
    /// Means over a grid of this height and width.
    AdaptiveAvg((usize, usize)),
    GlobalAvg,
    GlobalMax,
}

/// The kernel that computes it, and its sizes.
#[derive(Clone, Debug)]
enum Call {
    Max(Pool2dGeometry),
    Avg(Pool2dGeometry),
    Adaptive(AdaptivePool2dConfig),
}

impl Pool {
    pub(in crate::ops) fn new(input: Extent, kind: PoolKind) -> Result<Self> {
        let size = input.map_size("a pool")?;
        let adaptive = |bins| {
            Call::Adaptive(AdaptivePool2dConfig {
                batch: input.batch,
                height: size.height,
                width: size.width,
                channels: input.channels,
                bins,
            })
        };
        let whole = Window {
            kernel_size: (size.height, size.width),
            ..Window::POINT
        };
        let (call, size) = match kind {
            PoolKind::Max(window) => {
                let geometry = sliding(input, size, window)?;
                (Call::Max(geometry), Some(geometry.out_size()))
            }
            PoolKind::Avg(window) => {
                let geometry = sliding(input, size, window)?;
                (Call::Avg(geometry), Some(geometry.out_size()))
            }
            PoolKind::AdaptiveAvg(bins) => (adaptive(bins.into()), Some(bins.into())),
            PoolKind::GlobalAvg => (adaptive(Size2::square(1)), None),
            PoolKind::GlobalMax => (Call::Max(sliding(input, size, whole)?), None),
        };
        let output = Extent { size, ..input };
        Ok(Self { kind, call, output })
    }

    pub(in crate::ops) fn output(&self) -> Extent {
        self.output
    }

    /// Whether a convolution can apply it as it writes its output.
    pub(super) fn is_halving(&self) -> bool {
        let Call::Max(geometry) = &self.call else {
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
        match &self.call {
            Call::Max(geometry) => kernels::max_pool2d(kernel, geometry, input, output),
            Call::Avg(geometry) => kernels::avg_pool2d(kernel, geometry, input, output),
            Call::Adaptive(config) => {
                kernels::adaptive_avg_pool2d(kernel, *config, input, output);
            }
        }
    }

    pub(super) fn backward(&self, at: Backward<'_>) {
        let Some(grad_input) = at.grad_input else {
            return;
        };
        let (kernel, gradient) = (Kernel::selected(), at.grad_output);
        match &self.call {
            Call::Max(geometry) => {
                kernels::max_pool2d_gradient(kernel, geometry, at.input, gradient, grad_input);
            }
            Call::Avg(geometry) => {
                kernels::avg_pool2d_gradient(kernel, geometry, gradient, grad_input);
            }
            Call::Adaptive(config) => {
                kernels::adaptive_avg_pool2d_gradient(kernel, *config, gradient, grad_input);
            }
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, (height, width)) = match self.kind {
            PoolKind::Max(window) => ("max pool", window.kernel_size),
            PoolKind::Avg(window) => ("average pool", window.kernel_size),
            PoolKind::AdaptiveAvg(bins) => ("adaptive average pool to", bins),
            PoolKind::GlobalAvg => return f.write_str("global average pool"),
            PoolKind::GlobalMax => return f.write_str("global max pool"),
        };
        write!(f, "{name} {height}x{width}")
    }
}

fn sliding(input: Extent, size: Size2, window: Window) -> Result<Pool2dGeometry> {
    let Size2 { height, width } = size;
    Pool2dGeometry::new(Pool2dConfig {
        batch: input.batch,
        height,
        width,
        channels: input.channels,
        kernel_size: window.kernel_size.into(),
        stride: window.stride.into(),
        padding: padding(window.margins(height, width)),
    })
    .map_err(candle_core::Error::wrap)
}
