//! Losses: how wrong a network's output is. Comes in: scores of a batch, its
//! targets, and weights of its examples. Goes out: the mean loss, and a scalar
//! whose gradient for the scores is the loss's gradient.

mod check;
mod compute;
mod definition;
mod formulas;
mod layout;
mod precomputed;
mod targets;

pub(super) use compute::BatchLoss;
pub use definition::Loss;
pub(super) use layout::{f64_values, have_same_layout};
pub(crate) use precomputed::with_gradient;
