//! Optimizers: how gradients change parameters. In come an optimizer's settings,
//! and at each step the parameters with their gradients and learning rates. Out go
//! changed parameters, and the state that a checkpoint saves.

mod check;
mod fused;
mod norm;
mod rule;
mod settings;
mod slots;
mod state;
mod update;

pub(crate) use check::non_negative;
pub(crate) use norm::is_finite;
pub use settings::{Adam, AdamW, Convention, Decay, Optimizer, RmsProp, Sgd};
pub use state::OptimizerState;
pub use update::{Clip, Update};
