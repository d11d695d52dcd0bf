use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use crate::error::Result;
use crate::model::CHECKPOINT_KEY;
use crate::train::snapshot::Snapshot;
use crate::weights::{write_atomically, write_safetensors};

use super::contents::{Note, Parts, VERSION, describe, refuse};

/// Writes a safetensors file with tensors `model.*`, `optimizer.*` and
/// `callback.N.*`, and the rest as JSON in its metadata.
pub(in crate::train) fn save(path: &Path, parts: &Parts<'_>) -> Result<()> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut add = |prefix: &str, own: BTreeMap<String, Tensor>| {
        let named = own.into_iter();
        tensors.extend(named.map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
    };
    add("model", Snapshot::of(parts.model)?.on_cpu()?);
    add("optimizer", parts.optimizer.tensors()?);
    let mut callbacks = Vec::new();
    for (index, callback) in parts.callbacks.iter().enumerate() {
        let state = callback.state()?;
        let own = Snapshot::from(state.tensors).on_cpu()?;
        add(&format!("callback.{index}"), own);
        callbacks.push(state.values);
    }
    let note = Note {
        version: VERSION,
        progress: parts.progress.clone(),
        masks_drawn: parts.model.masks_drawn(),
        callbacks,
        network: describe(parts.model),
    };
    let note = serde_json::to_string(&note).map_err(|error| refuse(path, error))?;
    let metadata = BTreeMap::from([(CHECKPOINT_KEY.to_string(), note)]);
    write_atomically(path, |out| write_safetensors(out, &metadata, &tensors))
}
