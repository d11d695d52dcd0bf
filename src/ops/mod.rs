//! Layers on candle's tensors, on any device, with gradients: `(N, C, H, W)` or
//! `(N, F)` comes in and goes out.
//!
//! A chain of layers is one [`Sequence`]: on the CPU it is one operator over
//! the kernels, with a single backward pass. In between, feature maps have
//! their channels last.

mod activation;
mod device;
mod gradient;
mod instruction;
mod loss;
mod memory;
mod merge;
mod norm;
mod parameters;
mod resample;
mod sequence;
#[cfg(test)]
mod tests;

pub(crate) use activation::activate;
pub use gradient::{Gradients, backward};
pub(crate) use instruction::{Instruction, PoolKind};
pub(crate) use loss::{Compared, TapLoss, gram_matrix, mean_square, wide, wide_type};
pub(crate) use memory::{Extent, Workspace, channels_first};
pub(crate) use merge::{add, concat, rescale, zero_pad2d};
pub(crate) use norm::{BatchStatistics, ScaleShift, batch_norm, batch_statistics};
pub(crate) use parameters::{BatchNorm, Convolution, MaskSeeds, Parameters};
pub(crate) use resample::upsample;
pub(crate) use sequence::{Sequence, SequenceInput};
