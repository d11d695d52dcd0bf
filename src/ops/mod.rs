//! What layers compute, on candle's tensors: `(N, C, H, W)` or `(N, F)` in and
//! out, on any device, with gradients.
//!
//! A chain of layers is one call of [`run`]: on the CPU it becomes one
//! operator over the kernels, with maps channels last in between and one
//! backward pass of our own.

mod activation;
mod device;
mod gradient;
mod host;
mod merge;
mod norm;
mod order;
mod resample;
mod step;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use activation::activate;
pub use gradient::{Gradients, backward};
pub(crate) use host::Workspace;
pub(crate) use merge::{add, concat, rescale, zero_pad2d};
pub(crate) use norm::{BatchStatistics, ScaleShift, batch_norm, batch_statistics};
pub(crate) use resample::upsample;
pub(crate) use step::{Affine, BatchNorm, Convolution, Step, run};
pub(crate) use watch::Watch;
