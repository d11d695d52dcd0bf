use std::sync::Arc;

use candle_core::{Result, Tensor, Var};

use crate::layer::{Activation, Custom, Margins, Rescale, UpsampleMode};
use crate::ops::{self, Extent, Sequence};

/// One step of a program.
#[derive(Debug)]
pub(super) struct Step {
    /// The layers that it computes, as errors name them.
    pub(super) layers: String,
    pub(super) work: Work,
    pub(super) inputs: Vec<Operand>,
    pub(super) output: usize,
    pub(super) extent: Extent,
}

/// A value that a step reads.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) register: usize,
    /// Whether no later step reads it.
    pub(super) is_last_use: bool,
}

/// What a step computes.
#[derive(Debug)]
pub(super) enum Work {
    Sequence(Arc<Sequence>),
    Activation(Activation),
    Add,
    Concat,
    Upsample {
        /// Height and width.
        size: (usize, usize),
        mode: UpsampleMode,
    },
    ZeroPad2d(Margins),
    Rescale(Rescale),
    BatchNorm(TrainedNorm),
    Custom(CustomCall),
}

/// A line of a program as it is read.
pub(super) struct Line {
    pub(super) layers: String,
    pub(super) work: String,
    pub(super) output: Extent,
}

impl Step {
    pub(super) fn lines(&self) -> Vec<Line> {
        match &self.work {
            Work::Sequence(sequence) => sequence
                .instructions()
                .map(|placed| Line {
                    layers: placed.layers.to_string(),
                    work: placed.instruction.to_string(),
                    output: placed.output,
                })
                .collect(),
            work => vec![Line {
                layers: self.layers.clone(),
                work: work.in_words(),
                output: self.extent,
            }],
        }
    }
}

impl Work {
    pub(super) fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let Some(x) = inputs.first() else {
            candle_core::bail!("a layer takes at least one input");
        };
        match self {
            Self::Sequence(sequence) => sequence.run(x),
            Self::Activation(activation) => ops::activate(x, *activation),
            Self::Add => ops::add(inputs),
            Self::Concat => ops::concat(inputs),
            Self::Upsample { size, mode } => ops::upsample(x, *size, *mode),
            Self::ZeroPad2d(margins) => ops::zero_pad2d(x, *margins),
            Self::Rescale(rescale) => ops::rescale(x, &rescale.scale, &rescale.offset),
            Self::BatchNorm(norm) => norm.run(x),
            Self::Custom(call) => call.run(inputs),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Sequence(_) => "sequence".to_string(),
            Self::Activation(activation) => activation.to_string(),
            Self::Add => "add".to_string(),
            Self::Concat => "concat".to_string(),
            Self::Upsample { .. } => "upsample".to_string(),
            Self::ZeroPad2d(_) => "zero pad".to_string(),
            Self::Rescale(_) => "rescale".to_string(),
            Self::BatchNorm(_) => "batch norm of the batch".to_string(),
            Self::Custom(call) => call.custom.kind().to_string(),
        }
    }
}

/// A batch norm that normalizes with the batch and updates its running
/// statistics.
#[derive(Debug)]
pub(super) struct TrainedNorm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    pub(super) mean: Running,
    pub(super) variance: Running,
    pub(super) eps: f64,
    pub(super) momentum: f64,
}

/// A running statistic.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) values: Tensor,
    /// Where it is kept, if it is to follow the batches.
    pub(super) variable: Option<Var>,
}

impl Running {
    fn follow(&self, batch: &Tensor, momentum: f64, scale: f64) -> Result<()> {
        let Some(variable) = &self.variable else {
            return Ok(());
        };
        let new = (batch.detach() * (momentum * scale))?;
        let old = (self.values.detach() * (1.0 - momentum))?;
        variable.set(&(old + new)?)
    }
}

impl TrainedNorm {
    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let batch = ops::batch_statistics(x)?;
        let count = x.elem_count() / x.dim(1)?;
        let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
        self.mean.follow(&batch.mean, self.momentum, 1.0)?;
        self.variance
            .follow(&batch.variance, self.momentum, unbiased)?;
        ops::batch_norm(x, &batch, &self.weight, &self.bias, self.eps)
    }
}

/// A call of a user's layer.
#[derive(Debug)]
pub(super) struct CustomCall {
    pub(super) custom: Custom,
    pub(super) parameters: Vec<Tensor>,
    pub(super) training: bool,
    /// Whether gradients may pass through it.
    pub(super) is_tracked: bool,
    /// The sizes that it declared.
    pub(super) output: Extent,
}

impl CustomCall {
    /// A user's layer is held to the shape it declared.
    fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let custom = &self.custom;
        let output = custom
            .inner()
            .forward(inputs, &self.parameters, self.training)?;
        let like = &inputs[0];
        if output.dims().first() != like.dims().first()
            || output.dtype() != like.dtype()
            || !output.device().same_device(like.device())
        {
            candle_core::bail!(
                "{} turned a batch of {:?} values {:?} into {:?} values {:?}; keep type, device \
                 and batch",
                custom.kind(),
                like.dtype(),
                like.dims(),
                output.dtype(),
                output.dims()
            )
        }
        if Extent::of(&output).ok() != Some(self.output) {
            candle_core::bail!(
                "{} declared an output of {}, but gave {:?}",
                custom.kind(),
                self.output.shape(),
                output.dims()
            )
        }
        Ok(if self.is_tracked {
            output
        } else {
            output.detach()
        })
    }
}
