//! Running a chain of which gradients are wanted.
//!
//! candle's backward pass adds each gradient to a map of zeros, one thread
//! and three passes over memory an operator. A chain is therefore one
//! operator to candle, and its backward pass is walked here.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Result, Shape, Tensor};

use crate::ops::gradient;

use super::buffers::Buffer;
use super::operator::{Backward, Chain, Operator, Workspace};
use super::tensors::{Extent, channels_first, channels_last, with_slice};

/// A chain that has run forward.
#[derive(Debug)]
struct Tape {
    workspace: Arc<Workspace>,
    operators: Vec<Operator>,
    input: Extent,
    /// Sizes of the values between operators.
    extents: Vec<Extent>,
    values: Vec<Buffer>,
    /// Whether the gradient of the input is wanted.
    tracks_input: bool,
    /// The gradients of the tracked parameters, until candle asks for them.
    gradients: Mutex<Vec<Option<Tensor>>>,
}

/// Runs a chain on the values `input` and records what the gradients of `x`,
/// if it is given, and of the parameters need.
pub(super) fn record(
    workspace: &Arc<Workspace>,
    chain: Chain,
    input: Buffer,
    x: Option<&Tensor>,
) -> Result<Tensor> {
    let Chain {
        operators,
        input: input_extent,
        extents,
    } = chain;
    let mut values = vec![input];
    for (operator, extent) in operators.iter().zip(&extents[1..]) {
        let mut output = workspace.buffers.lend(extent.len());
        operator.forward(workspace, &values[values.len() - 1], &mut output)?;
        values.push(output);
    }
    let tracked: Vec<Tensor> = operators
        .iter()
        .flat_map(|operator| operator.tracked().cloned())
        .collect();
    let tape = Arc::new(Tape {
        workspace: Arc::clone(workspace),
        operators,
        input: input_extent,
        extents,
        values,
        tracks_input: x.is_some(),
        gradients: Mutex::new(vec![None; tracked.len()]),
    });
    let mut token: Option<Tensor> = None;
    for (place, parameter) in tracked.iter().enumerate() {
        let receiver = Receiver {
            tape: Arc::clone(&tape),
            place,
        };
        token = Some(match token {
            None => parameter.apply_op1(receiver)?,
            Some(token) => token.apply_op2(parameter, receiver)?,
        });
    }
    match (x, token) {
        (Some(x), Some(token)) => x.apply_op2(&token, Recorded(tape)),
        (Some(x), None) => x.apply_op1(Recorded(tape)),
        (None, Some(token)) => token.apply_op1(Recorded(tape)),
        (None, None) => candle_core::bail!("a chain without gradients is not recorded"),
    }
}

impl Tape {
    /// Walks back from the gradient of the output; gives that of the input.
    fn backward(&self, gradient: &Tensor) -> Result<Option<Tensor>> {
        let buffers = &self.workspace.buffers;
        let gradient = channels_last(gradient)?;
        let mut held: Option<Buffer> = None;
        let mut found: Vec<Tensor> = Vec::new();
        with_slice(&gradient, |gradient| {
            for index in (0..self.operators.len()).rev() {
                let wanted = index > 0 || self.tracks_input;
                let mut below = wanted.then(|| buffers.lend(self.extents[index].len()));
                let mut gradients = self.operators[index].backward(Backward {
                    workspace: &self.workspace,
                    input: &self.values[index],
                    output: &self.values[index + 1],
                    grad_output: held.as_deref().unwrap_or(gradient),
                    grad_input: below.as_deref_mut(),
                })?;
                gradients.reverse();
                found.append(&mut gradients);
                held = below;
            }
            Ok(())
        })?;
        found.reverse();
        let tracked = self.operators.iter().flat_map(Operator::tracked).count();
        if found.len() != tracked {
            candle_core::bail!("{} gradients of {tracked} parameters", found.len());
        }
        *self
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = found.into_iter().map(Some).collect();
        if !self.tracks_input {
            return Ok(None);
        }
        let extent = self.input;
        let values = match held {
            Some(values) => channels_first(extent, &values),
            None => with_slice(&gradient, |values| Ok(channels_first(extent, values)))?,
        };
        let (data, shape) = values;
        Tensor::from_vec(data, shape, &Device::Cpu).map(Some)
    }
}

/// The chain to candle: from the input, and a token that leads to the
/// parameters, to the output.
struct Recorded(Arc<Tape>);

impl Recorded {
    fn output(&self) -> (CpuStorage, Shape) {
        let last = self.0.operators.len();
        let (data, shape) = channels_first(self.0.extents[last], &self.0.values[last]);
        (CpuStorage::F32(data), shape)
    }
}

fn no_gradient_of_a_token() -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, &Device::Cpu)
}

impl CustomOp1 for Recorded {
    fn name(&self) -> &'static str {
        "vgg-surgery-chain"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.output())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        match self.0.backward(gradient)? {
            Some(gradient) => Ok(Some(gradient)),
            None => no_gradient_of_a_token().map(Some),
        }
    }
}

impl CustomOp2 for Recorded {
    fn name(&self) -> &'static str {
        "vgg-surgery-chain"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.output())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.0.backward(gradient)?, Some(no_gradient_of_a_token()?)))
    }
}

/// Hands a parameter the gradient that its chain has computed for it.
struct Receiver {
    tape: Arc<Tape>,
    place: usize,
}

impl Receiver {
    fn token() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), 1.into())
    }

    /// The parameter's gradient, unless it has gone to those that
    /// [`gradient::backward`] gathers.
    fn take(&self, parameter: &Tensor) -> Result<Option<Tensor>> {
        let gradients = self.tape.gradients.lock();
        let mut gradients = gradients.unwrap_or_else(PoisonError::into_inner);
        let Some(gradient) = gradients.get_mut(self.place).and_then(Option::take) else {
            candle_core::bail!("two backward passes over one value at the same time");
        };
        Ok(gradient::hand_over(parameter, gradient))
    }
}

impl CustomOp1 for Receiver {
    fn name(&self) -> &'static str {
        "vgg-surgery-parameter"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::token())
    }

    fn bwd(&self, parameter: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        self.take(parameter)
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
        Ok(Self::token())
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
