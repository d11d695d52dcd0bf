//! Settings of a training. Comes in: what the user set on the trainer. Goes
//! out: settings that were checked and fitted to the model and the data, with
//! the loaders that make their batches.

mod group;
mod plateau;
mod requested;
mod resolved;
mod schedule;

pub use group::ParameterGroup;
pub(super) use plateau::Plateau;
pub(super) use requested::Settings;
pub(super) use resolved::ResolvedSettings;
pub use schedule::Schedule;
