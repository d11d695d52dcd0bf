use std::path::Path;

use crate::error::Result;
use crate::model::Model;

use super::saved::SavedTraining;

impl Model {
    /// Loads weights and running statistics from a checkpoint that
    /// [`Trainer::save_checkpoint`] or the callback [`Checkpoint`] wrote, of the
    /// best epoch of a training, say. Nothing else changes; to continue the
    /// training, call [`Trainer::resume`].
    ///
    /// A checkpoint holds only what was trained. The values of frozen layers stay
    /// the model's, so the model has to be built like the one that was trained.
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
    /// [`Error::Io`]; [`TrainingError::Checkpoint`] if the file is not a
    /// checkpoint, or belongs to another network or to other frozen layers. The
    /// model is then unchanged.
    ///
    /// [`Error::Io`]: crate::Error::Io
    /// [`TrainingError::Checkpoint`]: crate::TrainingError::Checkpoint
    /// [`Checkpoint`]: crate::Checkpoint
    /// [`Trainer::resume`]: crate::Trainer::resume
    /// [`Trainer::save_checkpoint`]: crate::Trainer::save_checkpoint
    pub fn load_weights(&mut self, checkpoint: impl AsRef<Path>) -> Result<()> {
        let saved = SavedTraining::read(checkpoint.as_ref())?;
        saved.weights_for(self)?.restore(self)
    }
}
