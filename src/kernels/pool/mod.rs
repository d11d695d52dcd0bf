//! Pooling and its gradients. Feature maps with the channels last and the
//! sizes of the windows come in; pooled feature maps or the gradient of the
//! input go out.

mod avg;
mod max;
mod windows;

pub use avg::{avg_pool2d, avg_pool2d_gradient};
pub use max::{max_pool2d, max_pool2d_gradient};
pub use windows::{Pool2dConfig, PoolWindows};
