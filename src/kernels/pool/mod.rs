//! Pooling and its gradients. In come feature maps, channels last, and the
//! sizes of the windows. Out go pooled feature maps, or the gradient of the
//! input.

mod avg;
mod max;
mod windows;

pub use avg::{avg_pool2d, avg_pool2d_gradient};
pub use max::{max_pool2d, max_pool2d_gradient};
pub use windows::{Pool2dConfig, PoolWindows};
