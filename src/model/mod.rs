//! A graph with its tensors on a device. In come a graph and its weights, or a
//! file; out go values of layers, predictions, edited models and files.
//! `program/` compiles forward passes.

mod access;
mod build;
mod core;
mod edit;
mod file;
mod forward;
mod int8;
mod load_tensors;
mod losses;
mod memory;
mod parts;
mod predict;
mod pretrained;
mod program;
mod taps;

pub use self::core::Model;
pub use crate::ops::{Gradients, backward};
pub(crate) use access::ModelVariable;
pub use access::{ModelParameter, NonFinite};
pub use build::BuildOptions;
pub(crate) use build::room_for;
pub(crate) use edit::Draft;
pub(crate) use file::CHECKPOINT_KEY;
pub use file::{LoadOptions, Registry};
pub use forward::TrainingMode;
pub(crate) use int8::int8_steps;
pub use predict::{Prediction, Ranked};
pub use program::Program;
pub use taps::Taps;
