use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::ops::device;
use crate::ops::instruction::{Conv2d, Instruction, run_convolutions};
use crate::ops::memory::{
    Buffer, Extent, channels_first_view, channels_last, copy_channels_last, with_slice,
};

use super::build::{Placed, Sequence};
use super::tape;

impl Sequence {
    /// Runs the instructions on `x`, `(N, C, H, W)` or `(N, F)`, and records the
    /// gradients for which the sequence was made.
    pub(crate) fn run(self: &Arc<Self>, x: &Tensor) -> Result<Tensor> {
        if Extent::of(x)? != self.input {
            candle_core::bail!("made for {}, not {:?}", self.input, x.dims());
        }
        if !self.on_kernels {
            let mut instructions = self.instructions();
            return instructions.try_fold(x.clone(), |x, placed| {
                device::apply(&x, &placed.instruction)
            });
        }
        if x.dtype() == DType::F32 {
            return self.run_on_kernels(x);
        }
        let y = self.run_on_kernels(&x.to_dtype(DType::F32)?)?;
        y.to_dtype(x.dtype())
    }

    fn run_on_kernels(self: &Arc<Self>, x: &Tensor) -> Result<Tensor> {
        if !self.records(x) {
            let input = channels_last(x)?;
            let mut output = vec![0.0; self.output().len()];
            let all: Vec<&Placed> = self.instructions().collect();
            let loss = with_slice(&input, |input| self.infer(&all, input, &mut output))?;
            return if self.gives_losses {
                Tensor::new(loss as f32, &Device::Cpu)
            } else {
                channels_first_view(self.output(), output)
            };
        }
        let buffers = &self.workspace.buffers;
        let mut values = buffers.lend(self.recorded_input().len());
        if self.plain.is_empty() {
            copy_channels_last(x, &mut values)?;
        } else {
            let plain: Vec<&Placed> = self.plain.iter().collect();
            with_slice(&channels_last(x)?, |input| {
                self.infer(&plain, input, &mut values)
            })?;
        }
        let tracked = (self.tracks_input && x.track_op()).then_some(x);
        tape::record(self, values, tracked)
    }

    /// Returns the sum of the losses.
    fn infer(&self, instructions: &[&Placed], input: &[f32], output: &mut [f32]) -> Result<f64> {
        if instructions.is_empty() {
            output.copy_from_slice(input);
        }
        let mut rest = instructions;
        let (mut held, mut losses): (Option<Buffer>, f64) = (None, 0.0);
        while let Some(first) = rest.first() {
            let source = held.as_deref().unwrap_or(input);
            let convs: Vec<&Conv2d> = rest.iter().map_while(|placed| as_conv(placed)).collect();
            let taken = convs.len().max(1);
            let last = rest[taken - 1];
            rest = &rest[taken..];
            let mut lent = (!rest.is_empty()).then(|| {
                let buffers = &self.workspace.buffers;
                buffers.lend(last.output.len())
            });
            let target = lent.as_deref_mut().unwrap_or(output);
            if convs.is_empty() {
                losses += first.instruction.forward(source, target)?.loss;
            } else {
                run_convolutions(&convs, source, target)?;
            }
            held = lent;
        }
        Ok(losses)
    }
}

fn as_conv(placed: &Placed) -> Option<&Conv2d> {
    match &placed.instruction {
        Instruction::Conv2d(conv) => Some(conv),
        _ => None,
    }
}
