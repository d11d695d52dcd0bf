//! Losses and metrics that compare images by the features of a network, or by their
//! pixels. In come a model with its layers, or a range of values, and two batches; out
//! comes a scalar, or a value for each pair of images, with gradients.

mod dists;
mod file;
mod loss;
mod lpips;
mod ssim;

pub use dists::Dists;
pub use loss::{PerceptualLoss, StyleLoss, TargetLoss, gram_matrix, total_variation};
pub use lpips::Lpips;
pub use ssim::Ssim;
