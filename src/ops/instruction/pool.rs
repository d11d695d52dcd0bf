use std::fmt;

use candle_core::Result;

use crate::kernels::{self, FeatureMaps, Kernel, Pool2dConfig, PoolWindows, Size2};
use crate::layers::Window;
use crate::ops::memory::Extent;

use super::conv::padding;

#[derive(Debug)]
pub(crate) struct Pool {
    pub(in crate::ops) kind: PoolKind,
    windows: PoolWindows,
    output: Extent,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PoolKind {
    Max(Window),
    Avg(Window),
    /// Adaptive average pooling to this height and width.
    AdaptiveAvg((usize, usize)),
    GlobalAvg,
    GlobalMax,
}

impl Pool {
    pub(in crate::ops) fn new(input: Extent, kind: PoolKind) -> Result<Self> {
        let maps = input.feature_maps("a pool")?;
        let whole = Window {
            kernel_size: (maps.size.height, maps.size.width),
            ..Window::POINT
        };
        let windows = match kind {
            PoolKind::Max(window) | PoolKind::Avg(window) => sliding(maps, window)?,
            PoolKind::AdaptiveAvg(bins) => PoolWindows::adaptive(maps, bins.into()),
            PoolKind::GlobalAvg => PoolWindows::adaptive(maps, Size2::square(1)),
            PoolKind::GlobalMax => sliding(maps, whole)?,
        };
        let is_global = matches!(kind, PoolKind::GlobalAvg | PoolKind::GlobalMax);
        let size = (!is_global).then_some(windows.out_size());
        Ok(Self {
            kind,
            windows,
            output: Extent { size, ..input },
        })
    }

    pub(in crate::ops) fn output(&self) -> Extent {
        self.output
    }

    /// Whether a convolution can apply this pool as it writes its output.
    pub(super) fn is_halving(&self) -> bool {
        matches!(self.kind, PoolKind::Max(_)) && self.windows.is_halving()
    }

    fn takes_largest(&self) -> bool {
        matches!(self.kind, PoolKind::Max(_) | PoolKind::GlobalMax)
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        let kernel = Kernel::selected();
        if self.takes_largest() {
            kernels::max_pool2d(kernel, &self.windows, input, output);
        } else {
            kernels::avg_pool2d(kernel, &self.windows, input, output);
        }
    }

    pub(super) fn backward(&self, input: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        let kernel = Kernel::selected();
        if self.takes_largest() {
            kernels::max_pool2d_gradient(kernel, &self.windows, input, grad_output, grad_input);
        } else {
            kernels::avg_pool2d_gradient(kernel, &self.windows, grad_output, grad_input);
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

fn sliding(input: FeatureMaps, window: Window) -> Result<PoolWindows> {
    let margins = window.margins(input.size.height, input.size.width);
    PoolWindows::sliding(Pool2dConfig {
        input,
        kernel_size: window.kernel_size.into(),
        stride: window.stride.into(),
        padding: padding(margins),
    })
    .map_err(candle_core::Error::wrap)
}
