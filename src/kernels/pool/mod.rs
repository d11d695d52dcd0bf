//! Pooling and its gradients.

mod avg;
mod max;
mod windows;

pub use avg::{adaptive_avg_pool2d, adaptive_avg_pool2d_gradient, avg_pool2d, avg_pool2d_gradient};
pub use max::{max_pool2d, max_pool2d_gradient};
