use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

use crate::error::{Error, Result, shown};
use crate::files;
use crate::model::{CHECKPOINT_KEY, Model};
use crate::optim::{Optimizer, OptimizerState};
use crate::train::callbacks::{Callback, CallbackState};
use crate::train::history::{DataSettings, Progress};
use crate::train::snapshot::Snapshot;

use super::contents::{Note, describe, refuse};

fn stateful(callbacks: &[Box<dyn Callback>]) -> Result<Vec<usize>> {
    let mut indices = Vec::new();
    for (index, callback) in callbacks.iter().enumerate() {
        let CallbackState { values, tensors } = callback.state()?;
        if !values.is_null() || !tensors.is_empty() {
            indices.push(index);
        }
    }
    Ok(indices)
}

pub(in crate::train) struct SavedTraining {
    file: String,
    note: Note,
    tensors: HashMap<String, Tensor>,
}

/// What a model and an optimizer are given.
pub(in crate::train) struct Fitted {
    weights: Snapshot,
    optimizer: OptimizerState,
}

impl SavedTraining {
    pub(in crate::train) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path)?;
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| refuse(path, error))?;
        let note = metadata
            .metadata()
            .as_ref()
            .and_then(|notes| notes.get(CHECKPOINT_KEY));
        let note = note.ok_or_else(|| refuse(path, "it is not a checkpoint of a training"))?;
        let note = Note::read(path, note)?;
        if note.progress.start > note.progress.epoch {
            return Err(refuse(path, "it ends before it starts"));
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| refuse(path, error))?;
        Ok(Self {
            file: shown(path),
            note,
            tensors,
        })
    }

    fn refuse(&self, reason: impl ToString) -> Error {
        refuse(Path::new(&self.file), reason)
    }

    fn stateful(&self) -> Vec<usize> {
        let indices = 0..self.note.callbacks.len();
        let has_state = |index: &usize| {
            !self.note.callbacks[*index].is_null()
                || !self.part(&format!("callback.{index}")).is_empty()
        };
        indices.filter(has_state).collect()
    }

    fn part(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let own = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_string(), tensor.clone()))
        });
        own.collect()
    }

    fn weights_for(&self, model: &Model) -> Result<Snapshot> {
        let weights = Snapshot::from(self.part("model"));
        if self.note.network != describe(model) || !weights.fits(model) {
            return Err(self.refuse("it belongs to another network, or to other frozen layers"));
        }
        Ok(weights)
    }

    /// The saved weights and state of the optimizer, unless this is a checkpoint of
    /// another training.
    pub(in crate::train) fn fitted(
        &self,
        model: &Model,
        optimizer: &Optimizer,
        callbacks: &[Box<dyn Callback>],
        data: &DataSettings,
    ) -> Result<Fitted> {
        let weights = self.weights_for(model)?;
        let (saved, own) = (self.stateful(), stateful(callbacks)?);
        if saved.len() != own.len() {
            return Err(self.refuse(format!(
                "it was saved with {} callbacks that have a state, as EarlyStopping has, but there \
                 are {}; add the same ones",
                saved.len(),
                own.len()
            )));
        }
        if self.note.progress.data != *data {
            return Err(self.refuse(data.differences(&self.note.progress.data)));
        }
        let variables: Vec<_> = model.variables().collect();
        let named: Vec<_> = variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable.variable))
            .collect();
        let mut optimizer = OptimizerState::new(optimizer.clone());
        optimizer.restore(&self.part("optimizer"), &named)?;
        Ok(Fitted { weights, optimizer })
    }

    /// On an error nothing has changed, except callbacks if one of them refuses its
    /// state.
    pub(in crate::train) fn apply(
        &self,
        model: &Model,
        optimizer: &mut OptimizerState,
        callbacks: &mut [Box<dyn Callback>],
        data: &DataSettings,
    ) -> Result<Progress> {
        let fitted = self.fitted(model, optimizer.optimizer(), callbacks, data)?;
        for (saved, own) in self.stateful().into_iter().zip(stateful(callbacks)?) {
            callbacks[own].restore(CallbackState {
                values: self.note.callbacks[saved].clone(),
                tensors: self.part(&format!("callback.{saved}")),
            })?;
        }
        fitted.weights.restore(model)?;
        *optimizer = fitted.optimizer;
        model.set_masks_drawn(self.note.masks_drawn);
        Ok(self.note.progress.clone())
    }
}

impl Model {
    /// Loads weights and running statistics from a checkpoint that
    /// [`Trainer::save_checkpoint`] or the callback [`Checkpoint`] wrote, for example
    /// the weights of the best epoch. Nothing else changes; to continue the training,
    /// call [`Trainer::resume`].
    ///
    /// A checkpoint holds only what was trained. The values of frozen layers stay
    /// the model's, so the model has to be built like the one that was trained.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::train::Checkpoint;
    /// use vgg_surgery::{Dense, Graph, TensorDataset, Trainer};
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
    /// [`Error::Io`]; [`TrainingError::Checkpoint`] if the file is not a
    /// checkpoint, or belongs to another network or to other frozen layers. The
    /// model is then unchanged.
    ///
    /// [`Error::Io`]: crate::Error::Io
    /// [`TrainingError::Checkpoint`]: crate::error::TrainingError::Checkpoint
    /// [`Checkpoint`]: crate::train::Checkpoint
    /// [`Trainer::resume`]: crate::Trainer::resume
    /// [`Trainer::save_checkpoint`]: crate::Trainer::save_checkpoint
    pub fn load_weights(&mut self, checkpoint: impl AsRef<Path>) -> Result<()> {
        let saved = SavedTraining::read(checkpoint.as_ref())?;
        saved.weights_for(self)?.restore(self)
    }
}
