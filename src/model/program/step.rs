use std::sync::Arc;

use candle_core::{Result, Tensor, Var};

use crate::layers::{Activation, Custom, Margins, Rescale, UpsampleMode};
use crate::ops::{self, Extent, Sequence};

#[derive(Debug)]
pub(super) struct Step {
    /// The computed layers, as errors name them.
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
    pub(super) is_last_use: bool,
}

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

/// A line of a printed program.
pub(super) struct Line {
    pub(super) layers: String,
    pub(super) work: String,
    pub(super) output: Extent,
}

impl Step {
    pub(super) fn lines(&self) -> Vec<Line> {
        let work = match &self.work {
            Work::Sequence(sequence) => {
                let instructions = sequence.instructions().map(|placed| Line {
                    layers: placed.layers.to_string(),
                    work: placed.instruction.to_string(),
                    output: placed.output,
                });
                return instructions.collect();
            }
            Work::Activation(activation) => activation.to_string(),
            Work::Add => "add".to_string(),
            Work::Concat => "concat".to_string(),
            Work::Upsample { .. } => "upsample".to_string(),
            Work::ZeroPad2d(_) => "zero pad".to_string(),
            Work::Rescale(_) => "rescale".to_string(),
            Work::BatchNorm(_) => "batch norm of the batch".to_string(),
            Work::Custom(call) => call.custom.kind().to_string(),
        };
        vec![Line {
            layers: self.layers.clone(),
            work,
            output: self.extent,
        }]
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
    /// Its variable, if training updates it.
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

#[derive(Debug)]
pub(super) struct CustomCall {
    pub(super) custom: Custom,
    pub(super) parameters: Vec<Tensor>,
    pub(super) training: bool,
    /// Whether gradients may pass through it.
    pub(super) is_tracked: bool,
    /// The declared output sizes.
    pub(super) output: Extent,
}

impl CustomCall {
    /// Checks that the output is as the layer declared.
    fn run(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (kind, layer, x) = (self.custom.kind(), self.custom.inner(), &inputs[0]);
        let output = layer.forward(inputs, &self.parameters, self.training)?;
        let (from, to) = (x.dims(), output.dims());
        if to.first() != from.first()
            || output.dtype() != x.dtype()
            || !output.device().same_device(x.device())
        {
            candle_core::bail!(
                "{kind} turned a batch of {:?} values {from:?} into {:?} values {to:?}; keep type, \
                 device and batch",
                x.dtype(),
                output.dtype(),
            )
        }
        if Extent::of(&output).ok() != Some(self.output) {
            let declared = self.output.shape();
            candle_core::bail!("{kind} declared an output of {declared}, but returned {to:?}")
        }
        Ok(match self.is_tracked {
            true => output,
            false => output.detach(),
        })
    }
}
