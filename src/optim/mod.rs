//! Optimisers: what a gradient does to a parameter.

mod check;
mod fused;
mod norm;
mod rule;
mod settings;
mod slots;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use check::positive_or_zero;
pub(crate) use norm::is_finite;
pub use settings::{Adam, AdamW, Convention, Decay, Optimizer, RmsProp, Sgd};
pub use state::{Clip, OptimizerState, Update};
