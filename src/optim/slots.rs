use candle_core::{DType, Tensor, Var};

use crate::error::Result;

use super::fused::{self, Mode, Preparation};
use super::norm::{is_finite, largest};
use super::rule::Rule;
use super::update::Update;

#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) steps: u64,
    /// No value on the CPU is larger.
    bound: f64,
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
        Ok(Self {
            steps: 0,
            bound: 0.0,
            values,
        })
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
            Values::Cpu(values) => {
                let saved = saved.to_dtype(DType::F32)?;
                self.bound = self.bound.max(largest(&saved)?);
                values[slot] = saved.to_vec1()?;
            }
            Values::Tensors(values) => {
                let saved = saved.to_device(variable.device())?;
                let saved = saved.to_dtype(working_dtype(variable))?;
                values[slot] = saved.reshape(variable.shape())?;
            }
        }
        Ok(())
    }
}

/// Changes a parameter and its state, or tries to. False if it would not be finite.
pub(super) fn apply<R: Rule<N>, const N: usize>(
    mode: Mode,
    (rule, preparation): (&R, Preparation),
    update: &Update<'_>,
    slots: &mut Slots,
) -> Result<bool> {
    let Update {
        variable, gradient, ..
    } = update;
    match &mut slots.values {
        Values::Cpu(values) => {
            let bound = rule.bound(preparation.largest, slots.bound);
            match mode {
                Mode::Try if preparation.shrink.abs() <= 1.0 && bound.is_small() => {
                    return Ok(true);
                }
                Mode::Try => {}
                Mode::Take => slots.bound = bound.state,
            }
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
            if mode == Mode::Take {
                variable.set(&weight)?;
                *values = state.to_vec();
                return Ok(true);
            }
            let mut made = std::iter::once(&weight).chain(&state);
            made.try_fold(true, |all, tensor| Ok(all && is_finite(tensor)?))
        }
    }
}
