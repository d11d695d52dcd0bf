//! One file that holds a whole model: safetensors, with the network as JSON in
//! the metadata. In comes a model, or a file's bytes; out goes a file, or a
//! model whose every value was checked. Files of earlier versions are read.

mod delta;
mod load;
mod options;
mod packed;
mod record;
mod save;

pub use options::{LoadOptions, Registry};
pub(crate) use record::CHECKPOINT_KEY;
