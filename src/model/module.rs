use candle_core::{Module, Tensor};

use super::core::Model;

/// As [`Model::forward`]. candle makes a `ModuleT` of every `Module`, which
/// leaves the flag `train` aside; [`Model::training_mode`] minds it.
impl Module for Model {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        Model::forward(self, x).map_err(candle_core::Error::wrap)
    }
}

/// A model as a candle `Module` that runs as in training.
#[derive(Clone, Copy, Debug)]
pub struct TrainingMode<'a>(&'a Model);

impl Module for TrainingMode<'_> {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.0.forward_training(x).map_err(candle_core::Error::wrap)
    }
}

impl Model {
    /// The model as a candle `Module` whose forward pass is
    /// [`Model::forward_training`].
    pub fn training_mode(&self) -> TrainingMode<'_> {
        TrainingMode(self)
    }
}
