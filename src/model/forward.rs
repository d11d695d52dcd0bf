use std::sync::Arc;

use candle_core::{Device, Module, Shape as Dims, Tensor};

use crate::error::{Error, Result};
use crate::graph::{NodeId, Pick};
use crate::ops::Extent;
use crate::shape::Shape;
use crate::threads;

use super::core::Model;
use super::program::{Program, Request, compile};

impl Model {
    /// Runs the network on `x` `(N, C, H, W)`: any batch, any legal size, of any
    /// type, which is converted to the model's. It is not preprocessed;
    /// [`Model::predict_image`] does that.
    ///
    /// Dropout does nothing and batch norms use their running statistics.
    /// Gradients of the parameters are not recorded; gradients of `x` are, if it
    /// is a variable. [`Model::forward_training`] records both.
    ///
    /// Returns the first output; see [`Model::forward_all`] for several.
    ///
    /// On the CPU, feature maps are stored with their channels last and returned
    /// as views `(N, C, H, W)`. Some of candle's operators need a `contiguous()`
    /// copy.
    ///
    /// # Errors
    /// [`Error::InputShape`] if `x` does not have the shape of the input,
    /// [`Error::InputTooSmall`] if it is too small for a pool, [`Error::Layer`]
    /// if a tensor operation fails, [`Error::Unsupported`] if the system refuses
    /// the threads that compute.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run_first(x, false)
    }

    /// All outputs, in the graph's order; see [`Model::forward`].
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.run(x, &self.output_picks(), false)
    }

    /// Runs the network as training does: dropout drops, and batch norms that
    /// are not frozen normalize with the batch and update their statistics.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_training(&self, x: &Tensor) -> Result<Tensor> {
        self.run_first(x, true)
    }

    /// The program that [`Model::forward_all`] runs for an input `(N, C, H, W)`:
    /// which layers are fused, which kernels compute them, and the sizes of the
    /// values between them.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn program(&self, input: impl Into<Dims>) -> Result<Arc<Program>> {
        // Only its sizes are read.
        let x = Tensor::zeros(1, self.dtype(), &Device::Cpu)?.broadcast_as(input)?;
        self.program_for(&x, self.output_picks(), None, false)
    }

    /// The model as a candle `Module` whose forward pass is
    /// [`Model::forward_training`].
    pub fn training_mode(&self) -> TrainingMode<'_> {
        TrainingMode(self)
    }

    fn run_first(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let mut values = self.run(x, &self.output_picks()[..1], training)?;
        Ok(values.remove(0))
    }

    fn output_picks(&self) -> Vec<Pick> {
        let outputs = self.graph().outputs().iter();
        outputs.map(|&id| Pick::whole(id)).collect()
    }

    /// Computes the picks and the layers they depend on; values are dropped
    /// after their last use.
    pub(crate) fn run(&self, x: &Tensor, picks: &[Pick], training: bool) -> Result<Vec<Tensor>> {
        self.workspace.begin_pass();
        self.program_for(x, picks.to_vec(), None, training)?
            .run(x, None)
    }

    /// As [`Model::run`] outside training, but one value may be given. It is not
    /// computed, nor are layers that only it depends on.
    pub(crate) fn run_from(
        &self,
        x: &Tensor,
        given: Option<(Pick, &Tensor)>,
        picks: &[Pick],
    ) -> Result<Vec<Tensor>> {
        self.workspace.begin_pass();
        self.program_for(x, picks.to_vec(), given, false)?
            .run(x, given.map(|(_, value)| value))
    }

    fn program_for(
        &self,
        x: &Tensor,
        picks: Vec<Pick>,
        given: Option<(Pick, &Tensor)>,
        training: bool,
    ) -> Result<Arc<Program>> {
        threads::start()?;
        let request = Request {
            input: self.accept(x)?,
            is_tracked: x.track_op(),
            picks,
            given: given.map(|(pick, value)| (pick, value.track_op())),
            training,
        };
        self.programs
            .get(request, |request| compile(self, request, &[]))
    }

    /// The shape that a node's output has for `x`. The network does not run.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub(crate) fn shape_for(&self, x: &Tensor, node: NodeId) -> Result<Shape> {
        let input = self.accept(x)?.shape();
        Ok(self.graph().shapes_of(input, &[node])?.of(node))
    }

    /// The sizes of an input, if the graph's input accepts them.
    pub(super) fn accept(&self, x: &Tensor) -> Result<Extent> {
        let declared = self.graph().input_shape();
        let extent = Extent::of(x).ok();
        let accepted = extent.filter(|extent| declared.accepts(&extent.shape()));
        accepted.ok_or_else(|| Error::InputShape {
            expected: declared,
            actual: x.dims().to_vec(),
        })
    }
}

/// As [`Model::forward`]. candle implements `ModuleT` for every `Module` and
/// ignores the flag `train`; use [`Model::training_mode`] for training.
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
