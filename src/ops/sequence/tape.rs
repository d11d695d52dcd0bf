//! Sequences with gradients.
//!
//! candle's backward pass adds each gradient to zeros, in one thread, with three
//! passes over memory for each operator. A sequence is therefore one operator
//! to candle, and its backward pass runs here.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor};

use crate::ops::gradient;
use crate::ops::instruction::{Backward, Saved};
use crate::ops::memory::{Buffer, Extent, channels_first, channels_last, with_slice};

use super::build::Sequence;

/// A sequence whose recorded instructions have run forward.
#[derive(Debug)]
struct Tape {
    sequence: Arc<Sequence>,
    /// The values before, between and after the recorded instructions.
    values: Vec<Buffer>,
    saved: Vec<Saved>,
    tracks_input: bool,
    /// The gradients of the tracked parameters, until candle asks for them.
    gradients: Mutex<Vec<Option<Tensor>>>,
}

/// Runs the recorded instructions on `input`, and keeps what the backward pass
/// needs for the gradients of the parameters and, if it is given, of `x`.
pub(super) fn record(
    sequence: &Arc<Sequence>,
    input: Buffer,
    x: Option<&Tensor>,
) -> Result<Tensor> {
    let (mut values, mut saved) = (vec![input], Vec::new());
    for placed in &sequence.recorded {
        let mut output = sequence.workspace.buffers.lend(placed.output.len());
        let input = &values[values.len() - 1];
        saved.push(placed.instruction.forward(input, &mut output)?);
        values.push(output);
    }
    let tracked: Vec<Tensor> = sequence.tracked().cloned().collect();
    let tape = Arc::new(Tape {
        sequence: Arc::clone(sequence),
        values,
        saved,
        tracks_input: x.is_some(),
        gradients: Mutex::new(vec![None; tracked.len()]),
    });
    let untracked = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    let mut token = untracked.clone();
    for (place, parameter) in tracked.iter().enumerate() {
        let receiver = Receiver {
            tape: Arc::clone(&tape),
            place,
        };
        token = token.apply_op2(parameter, receiver)?;
    }
    x.unwrap_or(&untracked).apply_op2(&token, Recorded(tape))
}

impl Tape {
    /// The sizes of `values[index]`.
    fn extent(&self, index: usize) -> Extent {
        match index.checked_sub(1) {
            None => self.sequence.recorded_input(),
            Some(before) => self.sequence.recorded[before].output,
        }
    }

    fn output(&self) -> (Vec<f32>, Shape) {
        if self.sequence.gives_losses {
            let losses: f64 = self.saved.iter().map(|saved| saved.loss).sum();
            return (vec![losses as f32], ().into());
        }
        let last = self.values.len() - 1;
        channels_first(self.extent(last), &self.values[last])
    }

    /// Returns the gradient of the input.
    fn backward(&self, gradient: &Tensor) -> Result<Option<Tensor>> {
        let below = if self.sequence.gives_losses {
            // Only the losses read the last value.
            let zeros = vec![0.0; self.extent(self.saved.len()).len()];
            self.walk(&zeros, gradient.to_scalar::<f32>()?)?
        } else {
            let gradient = channels_last(gradient)?;
            with_slice(&gradient, |gradient| self.walk(gradient, 0.0))?
        };
        let Some(values) = below else {
            return Ok(None);
        };
        let (data, shape) = channels_first(self.sequence.input, &values);
        Tensor::from_vec(data, shape, &Device::Cpu).map(Some)
    }

    /// Returns the gradient of the first value if it is needed.
    fn walk(&self, gradient: &[f32], grad_loss: f32) -> Result<Option<Buffer>> {
        let buffers = &self.sequence.workspace.buffers;
        let mut held: Option<Buffer> = None;
        let mut found: Vec<Tensor> = Vec::new();
        for (index, placed) in self.sequence.recorded.iter().enumerate().rev() {
            let wanted = index > 0 || self.tracks_input;
            let mut below = wanted.then(|| buffers.lend(self.extent(index).len()));
            let mut gradients = placed.instruction.backward(Backward {
                input: &self.values[index],
                output: &self.values[index + 1],
                saved: &self.saved[index],
                grad_output: held.as_deref().unwrap_or(gradient),
                grad_input: below.as_deref_mut(),
                grad_loss,
            })?;
            gradients.reverse();
            found.append(&mut gradients);
            held = below;
        }
        found.reverse();
        let tracked = self.sequence.tracked().count();
        if found.len() != tracked {
            candle_core::bail!("{} gradients of {tracked} parameters", found.len());
        }
        *self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = found.into_iter().map(Some).collect();
        Ok(self.tracks_input.then(|| {
            held.unwrap_or_else(|| {
                let mut values = buffers.lend(gradient.len());
                values.copy_from_slice(gradient);
                values
            })
        }))
    }
}

/// The sequence as an operator of candle. Its inputs are the sequence's input and a
/// token that depends on the parameters.
struct Recorded(Arc<Tape>);

impl CustomOp2 for Recorded {
    fn name(&self) -> &'static str {
        "vgg-surgery-sequence"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (data, shape) = self.0.output();
        Ok((CpuStorage::F32(data), shape))
    }

    fn bwd(
        &self,
        _: &Tensor,
        token: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // The token's gradient is not used. It makes candle visit the parameters.
        Ok((self.0.backward(gradient)?, Some(token.zeros_like()?)))
    }
}

/// Hands a parameter the gradient that its sequence has computed for it.
struct Receiver {
    tape: Arc<Tape>,
    place: usize,
}

impl Receiver {
    /// The parameter's gradient; `None` if [`gradient::backward`] keeps it.
    fn take(&self, parameter: &Tensor) -> Result<Option<Tensor>> {
        let gradients = self.tape.gradients.lock();
        let mut gradients = gradients.unwrap_or_else(PoisonError::into_inner);
        let Some(gradient) = gradients.get_mut(self.place).and_then(Option::take) else {
            candle_core::bail!("two backward passes over one value at the same time");
        };
        Ok(gradient::hand_over(parameter, gradient))
    }
}

impl CustomOp2 for Receiver {
    fn name(&self) -> &'static str {
        "vgg-surgery-parameter"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), 1.into()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        parameter: &Tensor,
        _: &Tensor,
        token: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(token.clone()), self.take(parameter)?))
    }
}
