//! Checkpoints: a training in a file. Comes in: the model, the progress, the
//! optimizer's state and that of the callbacks. Goes out: a safetensors file,
//! and from such a file the same training again.

mod contents;
mod saved;

pub(super) use contents::{Parts, save};
pub(super) use saved::SavedTraining;
