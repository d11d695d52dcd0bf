//! Checkpoints: a training in a file. Comes in: the model, the progress, the
//! optimizer's state and that of the callbacks. Goes out: a safetensors file,
//! and from such a file the same training again.

mod contents;
mod saved;
mod write;

pub(super) use contents::Parts;
pub(super) use saved::SavedTraining;
pub(super) use write::save;
