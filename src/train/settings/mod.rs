//! Settings of a training. Comes in: what the user set on the trainer. Goes
//! out: settings that were checked and fitted to the model and the data, with
//! the loaders that make their batches.

mod group;
mod options;
mod schedule;

pub use group::ParameterGroup;
pub(super) use options::{ResolvedSettings, Settings};
pub(super) use schedule::Plateau;
pub use schedule::Schedule;
