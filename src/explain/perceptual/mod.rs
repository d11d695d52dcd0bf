//! Losses that compare images by the features of a network. In come a model,
//! its layers and two batches; out comes a scalar, or a distance for each pair
//! of images, with gradients.

mod loss;
mod lpips;

pub use loss::{PerceptualLoss, StyleLoss, TargetLoss, gram_matrix, total_variation};
pub use lpips::Lpips;
