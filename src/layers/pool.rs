use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::window::{LIMIT, Window, check_map, check_sizes};
use super::{IntoPair, Misfit, Padding, Rules};

/// The two kinds of pooling, in [`Graph::swap_pool`](crate::Graph::swap_pool) and
/// [`VggOptions::pooling`](crate::VggOptions::pooling).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of each window.
    Average,
    /// The largest value of each window.
    Max,
}

macro_rules! window_pool {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub struct $name {
            /// Height and width of the window.
            pub kernel_size: (usize, usize),
            /// Vertical and horizontal stride.
            pub stride: (usize, usize),
            /// How far windows reach over the border.
            pub padding: Padding,
        }

        impl $name {
            /// A pool whose stride is its window, without padding.
            pub fn new(kernel_size: impl IntoPair) -> Self {
                let kernel_size = kernel_size.pair();
                Self {
                    kernel_size,
                    stride: kernel_size,
                    padding: Padding::Valid,
                }
            }

            /// Sets the stride.
            pub fn stride(mut self, stride: impl IntoPair) -> Self {
                self.stride = stride.pair();
                self
            }

            /// Sets the padding.
            pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
                self.padding = padding.into();
                self
            }
        }

        impl From<usize> for $name {
            fn from(kernel_size: usize) -> Self {
                Self::new(kernel_size)
            }
        }

        impl Rules for $name {
            fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
                let output = self.window().slide(inputs[0], inputs[0].channels())?;
                check_window(&self.window())?;
                Ok(output)
            }

            fn window(&self) -> Window {
                Window {
                    kernel_size: self.kernel_size,
                    stride: self.stride,
                    dilation: (1, 1),
                    padding: self.padding,
                }
            }
        }
    };
}

window_pool!(
    /// The largest value of each window: `(N, C, H, W)` to `(N, C, H', W')`.
    ///
    /// Padding never wins. Of equal values the first in row order takes the
    /// gradient, as in PyTorch.
    MaxPool2d
);

window_pool!(
    /// The mean of each window: `(N, C, H, W)` to `(N, C, H', W')`.
    ///
    /// Padding is not counted, as in Keras (PyTorch: `count_include_pad=False`).
    AvgPool2d
);

/// The kernels count the pixels of a window in `f32`. One that lies wholly in the
/// padding would have nothing to pool.
fn check_window(window: &Window) -> Result<(), Misfit> {
    let (height, width) = window.kernel_size;
    if height.saturating_mul(width) > LIMIT {
        return Err(Misfit::Invalid(format!(
            "kernel_size {:?} must cover at most {LIMIT} pixels",
            window.kernel_size
        )));
    }
    let Padding::Explicit(margins) = window.padding else {
        return Ok(());
    };
    let vertical = margins.top.max(margins.bottom);
    let horizontal = margins.left.max(margins.right);
    if vertical > height / 2 || horizontal > width / 2 {
        return Err(Misfit::Invalid(format!(
            "padding {margins:?} must be at most half the window {height}x{width}"
        )));
    }
    Ok(())
}

macro_rules! global_pool {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name;

        impl $name {
            /// The pool; it has no settings.
            pub const fn new() -> Self {
                Self
            }
        }

        impl Rules for $name {
            fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
                check_map(inputs[0])?;
                Ok(Shape::vector(inputs[0].channels()))
            }

            fn sees_everything(&self) -> bool {
                true
            }
        }
    };
}

global_pool!(
    /// The mean of each channel: `(N, C, H, W)` to `(N, C)`.
    ///
    /// ```
    /// use vgg_surgery::graph::Shape;
    /// use vgg_surgery::{GlobalAvgPool2d, Vgg16};
    ///
    /// let pool = GlobalAvgPool2d::new().named("features");
    /// let graph = Vgg16::nano().truncate("block4_pool")?.attach(pool)?;
    /// assert_eq!(graph.output_shapes(), [Shape::vector(64)]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    GlobalAvgPool2d
);

global_pool!(
    /// The largest value of each channel: `(N, C, H, W)` to `(N, C)`.
    GlobalMaxPool2d
);

/// Means over a grid of `output_size` windows, whatever the input's size:
/// `(N, C, H, W)` to `(N, C, output_size)`.
///
/// Window `i` of `n` covers rows `floor(i H / n)` to `ceil((i + 1) H / n)`, as
/// PyTorch's `adaptive_avg_pool2d` does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdaptiveAvgPool2d {
    /// Height and width of the output.
    pub output_size: (usize, usize),
}

impl AdaptiveAvgPool2d {
    /// A pool to this size.
    pub fn new(output_size: impl IntoPair) -> Self {
        Self {
            output_size: output_size.pair(),
        }
    }
}

impl Rules for AdaptiveAvgPool2d {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let (height, width) = self.output_size;
        check_sizes("output_size", self.output_size)?;
        check_map(inputs[0])?;
        Ok(Shape::map(inputs[0].channels(), height, width))
    }

    fn sees_everything(&self) -> bool {
        true
    }
}
