//! Losses: how wrong a network's output is. Comes in: scores of a batch, its
//! targets, and weights of its examples. Goes out: the mean loss, and a scalar
//! whose gradient for the scores is the loss's gradient.

mod compute;
mod definition;
mod formulas;
mod targets;

pub(super) use compute::BatchLoss;
pub(crate) use compute::with_gradient;
pub use definition::Loss;
pub(super) use targets::{f64_values, have_same_layout};
