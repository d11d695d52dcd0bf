use candle_core::{DType, Tensor, Var};

use crate::error::{Error, Result};

use super::fused::{self, Mode, Outcome, Preparation};
use super::norm::is_finite;
use super::rule::Rule;
use super::update::Update;

#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) steps: u64,
    pub(super) values: Values,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    Cpu(Vec<Vec<f32>>),
    Tensors(Vec<Tensor>),
}

fn is_fused(variable: &Var) -> bool {
    variable.device().is_cpu() && variable.dtype() == DType::F32 && variable.is_contiguous()
}

/// The type of the state, in which steps are computed.
fn working_dtype(variable: &Var) -> DType {
    match variable.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

impl Slots {
    pub(super) fn zeros(variable: &Var, count: usize) -> Result<Self> {
        let values = if is_fused(variable) {
            Values::Cpu(vec![vec![0.0; variable.elem_count()]; count])
        } else {
            let zeros =
                Tensor::zeros(variable.shape(), working_dtype(variable), variable.device())?;
            Values::Tensors(vec![zeros; count])
        };
        Ok(Self { steps: 0, values })
    }

    /// Whether this state fits the parameter's size, type and device.
    pub(super) fn fit(&self, variable: &Var) -> bool {
        match &self.values {
            Values::Cpu(values) => {
                let count = variable.elem_count();
                is_fused(variable) && values.iter().all(|slot| slot.len() == count)
            }
            Values::Tensors(values) => values.iter().all(|slot| {
                slot.dims() == variable.dims()
                    && slot.dtype() == working_dtype(variable)
                    && slot.device().same_device(variable.device())
            }),
        }
    }

    pub(super) fn set(&mut self, slot: usize, saved: &Tensor, variable: &Var) -> Result<()> {
        match &mut self.values {
            Values::Cpu(values) => values[slot] = saved.to_dtype(DType::F32)?.to_vec1()?,
            Values::Tensors(values) => {
                let saved = saved.to_device(variable.device())?;
                let saved = saved.to_dtype(working_dtype(variable))?;
                values[slot] = saved.reshape(variable.shape())?;
            }
        }
        Ok(())
    }
}

/// Changes a parameter and its state, or tries to.
pub(super) fn apply<R: Rule<N>, const N: usize>(
    mode: Mode,
    (rule, preparation): (&R, Preparation),
    update: &Update<'_>,
    slots: &mut Slots,
) -> Result<Outcome> {
    let Update {
        variable, gradient, ..
    } = update;
    match &mut slots.values {
        Values::Cpu(values) => {
            let mut values = values.iter_mut();
            let state = std::array::from_fn(|_| match values.next() {
                Some(values) => values.as_mut_slice(),
                None => Default::default(),
            });
            let what = (*variable, *gradient);
            Ok(fused::apply(mode, (rule, preparation), what, state)?)
        }
        Values::Tensors(values) => {
            let dtype = working_dtype(variable);
            let weight = variable.as_detached_tensor().to_dtype(dtype)?;
            let prepared = preparation.tensor(&weight, &gradient.to_dtype(dtype)?)?;
            let mut state: [Tensor; N] = std::array::from_fn(|slot| values[slot].clone());
            let weight = rule.tensor(&prepared.weight, &prepared.gradient, &mut state)?;
            let weight = weight.to_dtype(variable.dtype())?;
            match mode {
                Mode::Take => {
                    variable.set(&weight)?;
                    *values = state.to_vec();
                    Ok(Outcome::Finite)
                }
                Mode::Try => outcome(gradient, std::iter::once(&weight).chain(&state)),
            }
        }
    }
}

fn outcome<'a>(gradient: &Tensor, mut made: impl Iterator<Item = &'a Tensor>) -> Result<Outcome> {
    if !is_finite(gradient)? {
        return Ok(Outcome::NonFiniteGradient);
    }
    let all = made.try_fold(true, |all, tensor| {
        Ok::<_, Error>(all && is_finite(tensor)?)
    })?;
    Ok(if all {
        Outcome::Finite
    } else {
        Outcome::NonFiniteStep
    })
}
