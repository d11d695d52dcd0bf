//! A graph with its tensors on a device. A graph and its weight sets come in,
//! or a file; values of layers, predictions, edited models and files go out.
//! What a pass runs is compiled in `program/`.

mod access;
mod build;
mod core;
mod draft;
mod edit;
mod file;
mod forward;
mod int8;
mod losses;
mod module;
mod parts;
mod predict;
mod program;
mod taps;

pub use self::core::Model;
pub(crate) use access::ModelVariable;
pub use access::{ModelParameter, NonFinite};
pub use build::BuildOptions;
pub(crate) use build::room_for;
pub(crate) use draft::Draft;
pub(crate) use file::CHECKPOINT_KEY;
pub use file::{LoadOptions, Registry};
pub(crate) use int8::int8_steps;
pub use module::TrainingMode;
pub use predict::{Prediction, Ranked};
pub use program::Program;
pub use taps::Taps;
