use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::ops::instruction::Instruction;
use crate::ops::memory::{Extent, Workspace};

/// Instructions that run one after the other, each on the output of the one before.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(super) workspace: Arc<Workspace>,
    /// Whether the kernels run it, not candle's operators.
    pub(super) on_kernels: bool,
    pub(super) tracks_input: bool,
    pub(super) input: Extent,
    /// The sizes of the first instruction's input: the sequence's input, maybe
    /// flattened.
    start: Extent,
    /// The first instructions, which record no gradients.
    pub(super) plain: Vec<Placed>,
    pub(super) recorded: Vec<Placed>,
    /// Whether the result is the sum of the losses instead of the last output.
    pub(super) gives_losses: bool,
}

/// An instruction of a sequence.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) layers: Layers,
    pub(crate) instruction: Instruction,
    pub(crate) output: Extent,
}

/// The layers that an instruction computes.
#[derive(Debug)]
pub(crate) struct Layers {
    first: String,
    last: String,
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        if self.first != self.last {
            write!(f, "..{}", self.last)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SequenceInput<'a> {
    pub(crate) extent: Extent,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
    /// Whether the input needs a gradient.
    pub(crate) is_tracked: bool,
}

impl Sequence {
    pub(crate) fn new(workspace: &Arc<Workspace>, input: SequenceInput<'_>) -> Self {
        let narrow = matches!(input.dtype, DType::F32 | DType::F16 | DType::BF16);
        Self {
            workspace: Arc::clone(workspace),
            on_kernels: input.device.is_cpu() && narrow,
            tracks_input: input.is_tracked,
            input: input.extent,
            start: input.extent,
            plain: Vec::new(),
            recorded: Vec::new(),
            gives_losses: false,
        }
    }

    /// Appends an instruction. It is fused with the instruction before it if the
    /// kernel can do both, unless a gradient needs the value in between.
    pub(crate) fn push(&mut self, layer: &str, instruction: Instruction) {
        let output = instruction.output(self.output());
        if self.on_kernels && instruction.moves_nothing() {
            match self.last() {
                Some(last) => last.output = output,
                None => self.start = output,
            }
            return;
        }
        let is_recorded = self.tracks_input
            || !self.recorded.is_empty()
            || instruction.tracked().next().is_some();
        self.gives_losses |= matches!(instruction, Instruction::Loss { .. });
        let on_kernels = self.on_kernels;
        let instructions = if is_recorded {
            &mut self.recorded
        } else {
            &mut self.plain
        };
        let left = match instructions.last_mut() {
            Some(last) if on_kernels => {
                let left = if is_recorded {
                    last.instruction.absorb_relu(instruction)
                } else {
                    last.instruction.absorb(&self.workspace, instruction)
                };
                if left.is_none() {
                    last.layers.last = layer.to_string();
                    last.output = output;
                }
                left
            }
            _ => Some(instruction),
        };
        if let Some(instruction) = left {
            instructions.push(Placed {
                layers: Layers {
                    first: layer.to_string(),
                    last: layer.to_string(),
                },
                instruction,
                output,
            });
        }
    }

    fn last(&mut self) -> Option<&mut Placed> {
        let recorded = self.recorded.last_mut();
        recorded.or_else(|| self.plain.last_mut())
    }

    pub(crate) fn instructions(&self) -> impl DoubleEndedIterator<Item = &Placed> {
        self.plain.iter().chain(&self.recorded)
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.instructions().next().is_none() && self.start == self.input
    }

    pub(crate) fn output(&self) -> Extent {
        self.instructions()
            .next_back()
            .map_or(self.start, |last| last.output)
    }

    pub(super) fn recorded_input(&self) -> Extent {
        self.plain.last().map_or(self.start, |last| last.output)
    }

    /// The values that are kept from the pass forward to the pass backward. None
    /// where candle's operators run.
    pub(crate) fn recorded_values(&self) -> usize {
        if !self.on_kernels || self.recorded.is_empty() {
            return 0;
        }
        let outputs = self.recorded.iter().map(|placed| placed.output.len());
        self.recorded_input().len() + outputs.sum::<usize>()
    }

    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        let instructions = self.recorded.iter();
        instructions.flat_map(|placed| placed.instruction.tracked())
    }

    pub(super) fn records(&self, x: &Tensor) -> bool {
        (self.tracks_input && x.track_op()) || self.tracked().next().is_some()
    }

    /// Whether the output may have a gradient.
    pub(crate) fn is_tracked(&self) -> bool {
        self.tracks_input
            || self
                .instructions()
                .any(|placed| placed.instruction.tracked().next().is_some())
    }
}
