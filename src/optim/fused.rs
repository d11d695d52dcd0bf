//! An optimizer step for one parameter in one pass, which reads the gradient and
//! changes weight and state in place.

use std::sync::{Mutex, OnceLock};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};

use super::rule::Rule;

/// Number of values that one thread processes at a time.
const SPAN: usize = 1 << 15;

/// How gradient and weight are changed before the rule is applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Preparation {
    /// Factor on the gradient.
    pub(super) scale: f64,
    /// The scaled gradient is clamped between minus and plus this.
    pub(super) limit: f64,
    /// This times the weight is added to the clamped gradient.
    pub(super) pull: f64,
    /// Factor on the weight.
    pub(super) shrink: f64,
    /// A bound on the gradient, once it is changed.
    pub(super) largest: f64,
}

pub(super) struct Prepared<T> {
    pub(super) weight: T,
    pub(super) gradient: T,
}

impl Preparation {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32) -> Prepared<f32> {
        let limit = self.limit as f32;
        let gradient = (gradient * self.scale as f32).clamp(-limit, limit);
        Prepared {
            weight: weight * self.shrink as f32,
            gradient: gradient + self.pull as f32 * weight,
        }
    }

    pub(super) fn tensor(&self, weight: &Tensor, gradient: &Tensor) -> Result<Prepared<Tensor>> {
        let mut gradient = (gradient * self.scale)?;
        if self.limit.is_finite() {
            gradient = gradient.clamp(-self.limit, self.limit)?;
        }
        Ok(Prepared {
            weight: (weight * self.shrink)?,
            gradient: (gradient + (weight * self.pull)?)?,
        })
    }
}

/// Whether a step is taken, or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing is changed.
    Try,
    /// What was tried before is stored.
    Take,
}

struct Fused<'a, R, const N: usize> {
    mode: Mode,
    is_finite: OnceLock<bool>,
    rule: &'a R,
    preparation: Preparation,
    gradient: &'a Tensor,
    /// In a mutex, since candle's in-place operations get `&self`.
    state: Mutex<[&'a mut [f32]; N]>,
}

/// Changes an f32 variable on the CPU, and its state, or tries to. False if it would
/// not be finite.
pub(super) fn apply<R: Rule<N>, const N: usize>(
    mode: Mode,
    (rule, preparation): (&R, Preparation),
    (variable, gradient): (&Var, &Tensor),
    state: [&mut [f32]; N],
) -> Result<bool> {
    let mut gradient = gradient.to_dtype(DType::F32)?.contiguous()?;
    if share_storage(variable, &gradient) {
        // The variable's lock is held while the gradient's is taken.
        gradient = gradient.copy()?;
    }
    let fused = Fused {
        mode,
        is_finite: OnceLock::new(),
        rule,
        preparation,
        gradient: &gradient,
        state: Mutex::new(state),
    };
    variable.inplace_op1(&fused)?;
    Ok(fused.is_finite.into_inner().unwrap_or(true))
}

fn share_storage(one: &Tensor, other: &Tensor) -> bool {
    let place = |tensor: &Tensor| {
        let (storage, _) = tensor.storage_and_layout();
        std::ptr::from_ref::<Storage>(&storage)
    };
    place(one) == place(other)
}

impl<R: Rule<N>, const N: usize> InplaceOp1 for Fused<'_, R, N> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (gradient, gradient_layout) = self.gradient.storage_and_layout();
        let (CpuStorage::F32(weights), Storage::Cpu(CpuStorage::F32(gradient))) =
            (storage, &*gradient)
        else {
            bail!("a fused step takes f32 values on the CPU");
        };
        let (Some((start, end)), Some((from, to))) = (
            layout.contiguous_offsets(),
            gradient_layout.contiguous_offsets(),
        ) else {
            bail!("a fused step takes contiguous values");
        };
        let Ok(mut state) = self.state.lock() else {
            bail!("a fused step ended early before");
        };
        let range = Range {
            weights: &mut weights[start..end],
            gradient: &gradient[from..to],
            state: state.each_mut().map(|slot| &mut **slot),
        };
        let length = range.weights.len();
        if range.gradient.len() != length || range.state.iter().any(|slot| slot.len() != length) {
            bail!("a fused step takes as many gradients and states as weights");
        }
        let is_finite = match self.mode {
            Mode::Try => step::<_, N, false>(self.rule, &self.preparation, range),
            Mode::Take => step::<_, N, true>(self.rule, &self.preparation, range),
        };
        self.is_finite.get_or_init(|| is_finite);
        Ok(())
    }
}

/// One range of weights, gradients and state.
struct Range<'a, const N: usize> {
    weights: &'a mut [f32],
    gradient: &'a [f32],
    state: [&'a mut [f32]; N],
}

impl<const N: usize> Range<'_, N> {
    fn halves(self) -> (Self, Self) {
        let middle = self.weights.len() / 2;
        let (left, right) = self.weights.split_at_mut(middle);
        let (left_gradient, right_gradient) = self.gradient.split_at(middle);
        let mut halves = self.state.map(|slot| slot.split_at_mut(middle));
        let left_state = halves.each_mut().map(|(left, _)| std::mem::take(left));
        let right_state = halves.map(|(_, right)| right);
        let left = Self {
            weights: left,
            gradient: left_gradient,
            state: left_state,
        };
        let right = Self {
            weights: right,
            gradient: right_gradient,
            state: right_state,
        };
        (left, right)
    }
}

/// Halves the work until each part is one span. Values don't depend on each
/// other, so the result does not depend on the threads.
fn step<R: Rule<N>, const N: usize, const TAKE: bool>(
    rule: &R,
    preparation: &Preparation,
    range: Range<'_, N>,
) -> bool {
    if range.weights.len() <= SPAN {
        return step_span::<R, N, TAKE>(rule, preparation, range);
    }
    let (left, right) = range.halves();
    let (left, right) = rayon::join(
        || step::<R, N, TAKE>(rule, preparation, left),
        || step::<R, N, TAKE>(rule, preparation, right),
    );
    left && right
}

fn step_span<R: Rule<N>, const N: usize, const TAKE: bool>(
    rule: &R,
    preparation: &Preparation,
    range: Range<'_, N>,
) -> bool {
    let weights = range.weights;
    let length = weights.len();
    let gradient = &range.gradient[..length];
    let mut state = range.state.map(|slot| &mut slot[..length]);
    let mut is_finite = true;
    for index in 0..length {
        let prepared = preparation.value(weights[index], gradient[index]);
        let mut own: [f32; N] = std::array::from_fn(|slot| state[slot][index]);
        let weight = rule.value(prepared.weight, prepared.gradient, &mut own);
        if TAKE {
            weights[index] = weight;
            for (slot, value) in state.iter_mut().zip(own) {
                slot[index] = value;
            }
        } else {
            is_finite &= weight.is_finite();
            for value in own {
                is_finite &= value.is_finite();
            }
        }
    }
    is_finite
}
