use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result, TrainingError, shown};
use crate::files::write_atomically;
use crate::model::{CHECKPOINT_KEY, Model};
use crate::optim::OptimizerState;
use crate::train::callbacks::Callback;
use crate::train::history::Progress;
use crate::train::snapshot::Snapshot;
use crate::weights::write_safetensors;

const VERSION: u32 = 2;

pub(in crate::train) struct Parts<'a> {
    pub(in crate::train) model: &'a Model,
    pub(in crate::train) progress: &'a Progress,
    pub(in crate::train) optimizer: &'a OptimizerState,
    pub(in crate::train) callbacks: &'a [Box<dyn Callback>],
}

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

/// Everything in a checkpoint except its tensors. With serde_json's feature
/// `float_roundtrip`, JSON keeps every bit of its floats.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// Called `run` in version 1.
    #[serde(alias = "run")]
    pub(super) progress: Progress,
    pub(super) masks_drawn: u64,
    pub(super) callbacks: Vec<Value>,
    /// The layers, as [`describe`] writes them.
    pub(super) network: String,
}

impl Note {
    /// Reads the JSON of version 1 or 2 from a checkpoint.
    pub(super) fn read(path: &Path, json: &str) -> Result<Self> {
        let note: Value = serde_json::from_str(json).map_err(|error| refuse(path, error))?;
        let note = match note.get("version").and_then(Value::as_u64) {
            Some(1) => floats_from_bits(note),
            Some(2) => note,
            _ => {
                let reason = "it was written by another version of this crate";
                return Err(refuse(path, reason));
            }
        };
        serde_json::from_value(note).map_err(|error| refuse(path, error))
    }
}

/// Version 1 wrote a float as `{"f64": "<its bits>"}`, and a backslash before any
/// other key that looks like this one.
fn floats_from_bits(value: Value) -> Value {
    let unescaped = |key: String| match key.strip_prefix('\\') {
        Some(rest) if rest.trim_start_matches('\\') == "f64" => rest.to_string(),
        _ => key,
    };
    match value {
        Value::Array(values) => values.into_iter().map(floats_from_bits).collect(),
        Value::Object(entries) => float_of(&entries).unwrap_or_else(|| {
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| (unescaped(key), floats_from_bits(value)));
            entries.collect()
        }),
        other => other,
    }
}

fn float_of(entries: &Map<String, Value>) -> Option<Value> {
    let bits = entries
        .get("f64")
        .filter(|_| entries.len() == 1)?
        .as_str()?;
    let bits = u64::from_str_radix(bits, 16).ok()?;
    Number::from_f64(f64::from_bits(bits)).map(Value::Number)
}

/// The layers of a network, to recognize a checkpoint of another one.
pub(super) fn describe(model: &Model) -> String {
    let lines = model.graph().nodes().map(|node| {
        let (name, layer, shape) = (node.name(), node.layer(), node.shape());
        let state = if node.is_frozen() {
            "frozen"
        } else {
            "trained"
        };
        format!("{name} {layer:?} {shape} {state}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::Training(TrainingError::Checkpoint {
        file: shown(path),
        reason: reason.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without `float_roundtrip` some of these come back one bit off.
    #[test]
    fn every_bit_of_a_float_comes_back() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let random = std::iter::from_fn(|| {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            Some(f64::from_bits(bits))
        });
        let special = [
            0.1 + 0.2,
            -0.0,
            4.0,
            1e300,
            f64::MAX,
            f64::MIN_POSITIVE / 3.0,
            f64::from_bits(1),
        ];
        let finite = random.filter(|value| value.is_finite()).take(10_000);
        let floats: Vec<f64> = special.into_iter().chain(finite).collect();
        let note = Note {
            version: VERSION,
            progress: Progress::new(),
            masks_drawn: u64::MAX,
            callbacks: vec![serde_json::json!(floats)],
            network: String::new(),
        };
        let text = serde_json::to_string(&note).unwrap();
        let again = Note::read(Path::new("x"), &text).unwrap();
        assert_eq!(again.masks_drawn, u64::MAX);
        let kept: Vec<f64> = serde_json::from_value(again.callbacks[0].clone()).unwrap();
        for (kept, float) in kept.iter().zip(&floats) {
            assert_eq!(kept.to_bits(), float.to_bits(), "{float:e}");
        }
    }

    #[test]
    fn floats_and_escaped_keys_of_version_1_are_read() {
        let float = |bits: f64| serde_json::json!({ "f64": format!("{:016x}", bits.to_bits()) });
        let written = serde_json::json!({
            "a": [float(0.1 + 0.2), 1, null, "x"],
            "\\f64": float(1e300),
            "b": { "\\\\f64": "3ff0000000000000", "\\f": true },
        });
        let expected = serde_json::json!({
            "a": [0.1 + 0.2, 1, null, "x"],
            "f64": 1e300,
            "b": { "\\f64": "3ff0000000000000", "\\f": true },
        });
        assert_eq!(floats_from_bits(written), expected);
        let zero = floats_from_bits(float(-0.0)).as_f64().unwrap();
        assert!(zero.is_sign_negative());
    }
}
