use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, TrainingError};
use crate::model::{CHECKPOINT_KEY, Model};
use crate::optim::OptimizerState;
use crate::weights::{io_error, write_atomically, write_safetensors};

use super::callback::{Callback, CallbackState};
use super::exact;
use super::run::{DataSettings, Run};
use super::snapshot::Snapshot;

const VERSION: u32 = 1;

/// What a checkpoint is made of.
pub(super) struct Parts<'a> {
    pub(super) model: &'a Model,
    pub(super) run: &'a Run,
    pub(super) optimizer: &'a OptimizerState,
    pub(super) callbacks: &'a [Box<dyn Callback>],
}

/// All of a checkpoint but its tensors.
#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    run: Run,
    masks_drawn: u64,
    callbacks: Vec<serde_json::Value>,
    network: String,
}

/// The layers, so that a checkpoint of another network is known as such.
fn describe(model: &Model) -> String {
    let nodes = model.graph().nodes();
    let lines = nodes.map(|node| {
        let frozen = if node.is_frozen() {
            "frozen"
        } else {
            "trained"
        };
        format!(
            "{} {:?} {} {frozen}",
            node.name(),
            node.layer(),
            node.shape()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes a file of safetensors: `model.*`, `optimizer.*`, `callback.N.*`, and
/// the rest as JSON in its metadata.
pub(super) fn save(path: &Path, parts: &Parts<'_>) -> Result<()> {
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
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
        run: parts.run.clone(),
        masks_drawn: parts.model.masks_drawn(),
        callbacks,
        network: describe(parts.model),
    };
    let note = serde_json::to_value(&note).map_err(|error| refuse(path, error))?;
    let note = exact::encode(note).to_string();
    let metadata = BTreeMap::from([(CHECKPOINT_KEY.to_string(), note)]);
    let tensors: Vec<_> = tensors.into_iter().collect();
    write_atomically(path, |out| {
        write_safetensors(out, &metadata, &tensors, &|error| io_error(path, error))
    })
}

fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::Training(TrainingError::Checkpoint {
        file: path.display().to_string(),
        reason: reason.to_string(),
    })
}

impl Model {
    /// Sets weights and running statistics to those of a checkpoint that
    /// [`Trainer::save_checkpoint`] or the callback [`Checkpoint`] wrote, as of
    /// the best epoch of a training. Nothing else changes; to train on,
    /// [`Trainer::resume`].
    ///
    /// A checkpoint holds what was trained: the values of frozen layers are the
    /// model's own, so that it has to be built as the one that was trained.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Checkpoint, Dense, Graph, TensorDataset, Trainer};
    ///
    /// let graph = Graph::new("small", 2)?.attach(Dense::new(2).softmax().named("out"))?;
    /// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
    /// let data = TensorDataset::new(x, [0, 1])?;
    /// let best = std::env::temp_dir().join("vgg-surgery-best.safetensors");
    ///
    /// let mut model = graph.build(&Device::Cpu)?;
    /// Trainer::new(&mut model)
    ///     .callback(Checkpoint::new(&best).best("val_loss"))
    ///     .epochs(3)
    ///     .fit(&data, &data)?;
    /// model.load_weights(&best)?;
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`]; [`TrainingError::Checkpoint`] if the file is no
    /// checkpoint, or one of another network or of other frozen layers. The
    /// model is then as it was.
    ///
    /// [`Checkpoint`]: crate::Checkpoint
    /// [`Trainer::resume`]: crate::Trainer::resume
    /// [`Trainer::save_checkpoint`]: crate::Trainer::save_checkpoint
    pub fn load_weights(&mut self, checkpoint: impl AsRef<Path>) -> Result<()> {
        let saved = Saved::read(checkpoint.as_ref())?;
        saved.weights_for(self)?.restore(self)
    }
}

/// The places of the callbacks that have a state.
fn stateful(callbacks: &[Box<dyn Callback>]) -> Result<Vec<usize>> {
    let mut places = Vec::new();
    for (place, callback) in callbacks.iter().enumerate() {
        let CallbackState { values, tensors } = callback.state()?;
        if !values.is_null() || !tensors.is_empty() {
            places.push(place);
        }
    }
    Ok(places)
}

/// A checkpoint that was read.
pub(super) struct Saved {
    file: String,
    note: Note,
    tensors: HashMap<String, Tensor>,
}

impl Saved {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| io_error(path, error))?;
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| refuse(path, error))?;
        let note = metadata
            .metadata()
            .as_ref()
            .and_then(|notes| notes.get(CHECKPOINT_KEY));
        let note = note.ok_or_else(|| refuse(path, "it is no checkpoint of a training"))?;
        let note: serde_json::Value =
            serde_json::from_str(note).map_err(|error| refuse(path, error))?;
        if note.get("version") != Some(&VERSION.into()) {
            return Err(refuse(
                path,
                "it was written by another version of this crate",
            ));
        }
        let note = exact::decode(note);
        let note: Note = serde_json::from_value(note).map_err(|error| refuse(path, error))?;
        if note.run.start > note.run.epoch {
            return Err(refuse(path, "it ends before it starts"));
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| refuse(path, error))?;
        Ok(Self {
            file: path.display().to_string(),
            note,
            tensors,
        })
    }

    fn refuse(&self, reason: impl ToString) -> Error {
        refuse(Path::new(&self.file), reason)
    }

    /// The places of the callbacks that had a state.
    fn with_state(&self) -> Vec<usize> {
        let places = 0..self.note.callbacks.len();
        let has_state = |place: &usize| {
            !self.note.callbacks[*place].is_null()
                || !self.part(&format!("callback.{place}")).is_empty()
        };
        places.filter(has_state).collect()
    }

    fn part(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let own = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_string(), tensor.clone()))
        });
        own.collect()
    }

    /// What a model of the same layers learnt.
    fn weights_for(&self, model: &Model) -> Result<Snapshot> {
        let weights = Snapshot::from(self.part("model"));
        if self.note.network != describe(model) || !weights.fits(model) {
            return Err(self.refuse("it is of another network, or of other frozen layers"));
        }
        Ok(weights)
    }

    /// Brings model, optimiser and callbacks to where they were, and tells how
    /// far that was. If it fails model and optimiser are as they were, and so
    /// are the callbacks but where one of them refuses its state.
    pub(super) fn apply(
        &self,
        model: &Model,
        optimizer: &mut OptimizerState,
        callbacks: &mut [Box<dyn Callback>],
        data: &DataSettings,
    ) -> Result<Run> {
        let weights = self.weights_for(model)?;
        let (saved, own) = (self.with_state(), stateful(callbacks)?);
        if saved.len() != own.len() {
            return Err(self.refuse(format!(
                "it was saved with {} callbacks that keep something, as EarlyStopping does, but \
                 there are {}; add the same ones",
                saved.len(),
                own.len()
            )));
        }
        if self.note.run.data != *data {
            return Err(self.refuse(data.differences(&self.note.run.data)));
        }
        let variables: Vec<_> = model.variables().collect();
        let named: Vec<_> = variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable.variable))
            .collect();
        let mut restored = OptimizerState::new(optimizer.optimizer().clone());
        restored.restore(&self.part("optimizer"), &named)?;
        for (saved, own) in saved.into_iter().zip(own) {
            callbacks[own].restore(CallbackState {
                values: self.note.callbacks[saved].clone(),
                tensors: self.part(&format!("callback.{saved}")),
            })?;
        }
        weights.restore(model)?;
        *optimizer = restored;
        model.set_masks_drawn(self.note.masks_drawn);
        Ok(self.note.run.clone())
    }
}
