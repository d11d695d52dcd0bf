//! One file that holds a whole model: safetensors, with the network as JSON in
//! the metadata.

mod delta;
mod load;
mod options;
mod packed;
mod record;
mod save;

pub use options::{LoadOptions, Registry};
pub(crate) use record::CHECKPOINT_KEY;
