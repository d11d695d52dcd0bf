//! Every kernel of this CPU against nested loops in double precision.

mod conv;
mod dense;
mod filters;
mod geometry;
pub(crate) mod oracle;
mod pool;
mod properties;
mod simple;
mod stack;
mod threads;
mod winograd;

use super::{Conv2dConfig, Kernel, Padding, Size2};

impl Conv2dConfig {
    /// A square convolution of stride 1 with padding `(kernel - 1) / 2` on
    /// all sides, over one pixel of one channel.
    pub(crate) fn same(kernel: usize) -> Self {
        Self {
            batch: 1,
            size: Size2::square(1),
            in_channels: 1,
            out_channels: 1,
            kernel_size: Size2::square(kernel),
            stride: Size2::square(1),
            padding: Padding::all(kernel.saturating_sub(1) / 2),
            dilation: Size2::square(1),
            groups: 1,
        }
    }

    pub(crate) fn images(self, batch: usize, height: usize, width: usize) -> Self {
        self.with(|config| {
            config.batch = batch;
            config.size = Size2 { height, width };
        })
    }

    pub(crate) fn channels(self, in_channels: usize, out_channels: usize) -> Self {
        self.with(|config| {
            config.in_channels = in_channels;
            config.out_channels = out_channels;
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Padding {
    fn all(pixels: usize) -> Self {
        Self {
            top: pixels,
            bottom: pixels,
            left: pixels,
            right: pixels,
        }
    }
}

/// Numbers from -1 to 1 (xorshift64).
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The largest difference, relative to the largest expected magnitude.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected
        .iter()
        .fold(f64::MIN_POSITIVE, |all, value| all.max(value.abs()));
    let pairs = actual.iter().zip(expected);
    let differences = pairs.map(|(&actual, &expected)| (f64::from(actual) - expected).abs());
    // `max` drops a NaN, which must not pass.
    differences.fold(0.0, |all: f64, value| {
        if value > all || value.is_nan() {
            value
        } else {
            all
        }
    }) / largest
}

fn kernels() -> Vec<Kernel> {
    Kernel::available().collect()
}
