//! What a layer computes, at its sizes, as one call of a kernel: the bias, a
//! batch norm, a ReLU and a pool are applied as a convolution's output is
//! written. A slice with its channels last comes in; another slice, or the
//! gradients, go out.

mod conv;
mod dense;
mod pass;
mod pointwise;
mod pool;

use std::fmt;

use candle_core::{Result, Tensor};

use super::loss::{LossBackward, TapLoss};
use super::memory::{Extent, Workspace};
use super::parameters::{BatchNorm, Convolution, MaskSeeds, Norm, Parameters};
use crate::layer::FlattenOrder;

pub(super) use conv::{Conv2d, run_convolutions};
pub(super) use dense::Dense;
pub(super) use pass::{Backward, Saved};
pub(super) use pointwise::Pointwise;
pub(super) use pool::Pool;
pub(crate) use pool::PoolKind;

/// One call of a kernel in a [`Sequence`](super::Sequence).
#[derive(Debug)]
pub(crate) enum Instruction {
    Conv2d(Conv2d),
    Dense(Dense),
    Pool(Pool),
    Pointwise(Pointwise),
    /// Computes the loss of a feature map, which passes unchanged.
    Loss {
        loss: TapLoss,
        extent: Extent,
    },
}

impl Instruction {
    pub(crate) fn conv2d(
        workspace: &Workspace,
        input: Extent,
        convolution: Convolution,
        parameters: Parameters,
    ) -> Result<Self> {
        Conv2d::new(workspace, input, convolution, parameters).map(Self::Conv2d)
    }

    pub(crate) fn dense(input: Extent, parameters: Parameters) -> Result<Self> {
        Dense::new(input, parameters).map(Self::Dense)
    }

    pub(crate) fn pool(input: Extent, kind: PoolKind) -> Result<Self> {
        Pool::new(input, kind).map(Self::Pool)
    }

    pub(crate) fn batch_norm(norm: BatchNorm) -> Self {
        Self::Pointwise(Pointwise::BatchNorm(Norm::new(norm)))
    }

    pub(crate) fn relu() -> Self {
        Self::Pointwise(Pointwise::Relu)
    }

    pub(crate) fn dropout(rate: f64, seeds: MaskSeeds) -> Self {
        Self::Pointwise(Pointwise::Dropout { rate, seeds })
    }

    pub(crate) fn flatten(input: Extent, order: FlattenOrder) -> Self {
        Self::Pointwise(Pointwise::Flatten { order, input })
    }

    /// The loss of one image's feature map.
    pub(crate) fn loss(input: Extent, loss: TapLoss) -> Result<Self> {
        if input.batch != 1 || input.size.is_none() {
            candle_core::bail!("a tap's loss takes the feature map of one image, not {input}");
        }
        Ok(Self::Loss {
            loss,
            extent: input,
        })
    }
}

impl Instruction {
    /// The sizes of the output for an input of these sizes.
    pub(super) fn output(&self, input: Extent) -> Extent {
        match self {
            Self::Conv2d(conv) => conv.output(),
            Self::Dense(dense) => dense.output(),
            Self::Pool(pool) => pool.output(),
            Self::Pointwise(work) => work.output(input),
            Self::Loss { extent, .. } => *extent,
        }
    }

    /// Whether the output has the same values in the same order as the input.
    pub(super) fn moves_nothing(&self) -> bool {
        matches!(self, Self::Pointwise(work) if work.moves_nothing())
    }

    fn parameters(&self) -> Option<&Parameters> {
        match self {
            Self::Conv2d(conv) => Some(&conv.parameters),
            Self::Dense(dense) => Some(&dense.parameters),
            Self::Pool(_) | Self::Pointwise(_) | Self::Loss { .. } => None,
        }
    }

    /// Parameters whose gradients are recorded, in the order in which
    /// [`Instruction::backward`] returns them.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters().into_iter().flat_map(Parameters::tracked)
    }

    /// Takes over the next instruction if it is a ReLU that the kernel can
    /// apply; else returns it.
    pub(super) fn absorb_relu(&mut self, next: Self) -> Option<Self> {
        let is_relu = matches!(next, Self::Pointwise(Pointwise::Relu));
        match self {
            Self::Conv2d(conv) if is_relu && !conv.relu && !conv.pool => conv.relu = true,
            Self::Dense(dense) if is_relu && !dense.relu => dense.relu = true,
            _ => return Some(next),
        }
        None
    }

    /// Takes over the next instruction if the kernel can do its work too; else
    /// returns it. No gradient may need the value in between.
    pub(super) fn absorb(&mut self, workspace: &Workspace, next: Self) -> Option<Self> {
        let next = self.absorb_relu(next)?;
        let Self::Conv2d(conv) = self else {
            return Some(next);
        };
        match next {
            Self::Pointwise(Pointwise::BatchNorm(norm)) if conv.can_fold(&norm) => {
                conv.fold(workspace, norm);
                None
            }
            Self::Pool(pool) if pool.is_halving() && !conv.pool => {
                conv.pool = true;
                None
            }
            Self::Conv2d(next) if conv.can_run_ahead_of(&next) => {
                conv.run_ahead_of(next);
                None
            }
            next => Some(next),
        }
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<Saved> {
        match self {
            Self::Conv2d(conv) => conv.forward(input, output)?,
            Self::Dense(dense) => dense.forward(input, output)?,
            Self::Pool(pool) => pool.forward(input, output),
            Self::Pointwise(work) => return work.forward(input, output),
            Self::Loss { loss, extent } => {
                output.copy_from_slice(input);
                let (loss, factors) = loss.forward(input, extent.channels);
                return Ok(Saved { factors, loss });
            }
        }
        Ok(Saved::default())
    }

    /// Writes the gradient of the input if it is wanted, and returns the
    /// gradients of the tracked parameters.
    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        match self {
            Self::Conv2d(conv) => return conv.backward(at),
            Self::Dense(dense) => return dense.backward(at),
            Self::Pool(pool) => pool.backward(at),
            Self::Pointwise(work) => work.backward(at)?,
            Self::Loss { loss, extent } => {
                if let Some(grad_input) = at.grad_input {
                    let at = LossBackward {
                        values: at.input,
                        channels: extent.channels,
                        factors: &at.saved.factors,
                        above: at.grad_output,
                        grad_loss: at.grad_loss,
                    };
                    loss.backward(at, grad_input);
                }
            }
        }
        Ok(Vec::new())
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv2d(conv) => conv.fmt(f),
            Self::Dense(dense) => dense.fmt(f),
            Self::Pool(pool) => pool.fmt(f),
            Self::Pointwise(work) => work.fmt(f),
            Self::Loss { .. } => f.write_str("loss"),
        }
    }
}
