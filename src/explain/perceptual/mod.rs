//! Losses that compare images as a network sees them. In come a model, the
//! layers to compare at and two batches; out comes a scalar, or a distance for
//! each pair, with gradients.

mod feature;
mod layers;
mod lpips;
mod style;
mod variation;

pub use feature::PerceptualLoss;
pub use lpips::Lpips;
pub use style::{StyleLoss, gram_matrix};
pub use variation::total_variation;
