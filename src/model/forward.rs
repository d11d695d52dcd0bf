use std::sync::Arc;

use candle_core::{Device, Shape as Dims, Tensor};

use crate::error::{Error, Result};
use crate::graph::Pick;
use crate::ops::Extent;

use super::core::Model;
use super::program::{Program, Request, compile};

impl Model {
    /// Runs the network on `x` `(N, C, H, W)`: any batch, any legal size.
    /// Dropout does nothing and batch norms use their running statistics.
    /// Gradients of the parameters are not recorded, those of `x` are if it is
    /// a variable; [`Model::forward_training`] records both.
    ///
    /// Of several outputs it gives the first; see [`Model::forward_all`].
    ///
    /// On the CPU, feature maps lie in memory with their channels last, and
    /// are views `(N, C, H, W)` of that; `contiguous()` copies one for those
    /// of candle's operators that ask for it.
    ///
    /// # Errors
    /// [`Error::InputShape`] if `x` is not as the input declares,
    /// [`Error::InputTooSmall`] if a pool can't take it, [`Error::Layer`] if a
    /// tensor operation fails.
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

    /// What [`Model::forward_all`] runs for an input `(N, C, H, W)`: which
    /// layers are computed as one, by which kernels, and how large the values
    /// between them are.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn program(&self, input: impl Into<Dims>) -> Result<Arc<Program>> {
        // Nothing is read of it but its sizes.
        let x = Tensor::zeros(1, self.dtype(), &Device::Cpu)?.broadcast_as(input)?;
        self.program_for(&x, self.output_picks(), None, false)
    }

    fn run_first(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let mut values = self.run(x, &self.output_picks()[..1], training)?;
        Ok(values.remove(0))
    }

    fn output_picks(&self) -> Vec<Pick> {
        let outputs = self.graph().outputs().iter();
        outputs.map(|&id| Pick::whole(id)).collect()
    }

    /// Computes what is picked, and nothing that no pick depends on; values
    /// are dropped after their last use.
    pub(crate) fn run(&self, x: &Tensor, picks: &[Pick], training: bool) -> Result<Vec<Tensor>> {
        self.workspace.begin_pass();
        self.program_for(x, picks.to_vec(), None, training)?
            .run(x, None)
    }

    /// As [`Model::run`] outside training, but one value may be given: it is
    /// not computed, and what nothing else depends on is not either.
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

    /// The sizes of an input, if it is as the graph's input declares.
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
