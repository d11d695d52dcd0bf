//! A step over one parameter in one pass: gradient read, weight and state
//! changed in place.

use std::sync::Mutex;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};

use super::rule::Rule;

/// Values that one thread takes at a time.
const SPAN: usize = 1 << 15;

/// What is done to gradient and weight before the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Preparation {
    /// The gradient is multiplied by this,
    pub(super) scale: f64,
    /// held within plus and minus this,
    pub(super) limit: f64,
    /// and this times the weight is added.
    pub(super) pull: f64,
    /// The weight is multiplied by this.
    pub(super) shrink: f64,
}

impl Preparation {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32) -> (f32, f32) {
        let limit = self.limit as f32;
        let gradient = (gradient * self.scale as f32).clamp(-limit, limit);
        let pulled = gradient + self.pull as f32 * weight;
        (weight * self.shrink as f32, pulled)
    }

    pub(super) fn tensor(&self, weight: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor)> {
        let mut gradient = (gradient * self.scale)?;
        if self.limit.is_finite() {
            gradient = gradient.clamp(-self.limit, self.limit)?;
        }
        let pulled = (gradient + (weight * self.pull)?)?;
        Ok(((weight * self.shrink)?, pulled))
    }
}

struct Fused<'a, R, const N: usize> {
    rule: &'a R,
    preparation: Preparation,
    gradient: &'a Tensor,
    /// An in-place operation gets itself by shared reference.
    state: Mutex<[&'a mut [f32]; N]>,
}

/// Changes an f32 variable on the CPU, and its state.
pub(super) fn apply<R: Rule<N>, const N: usize>(
    rule: &R,
    preparation: Preparation,
    variable: &Var,
    gradient: &Tensor,
    state: [&mut [f32]; N],
) -> Result<()> {
    let mut gradient = gradient.to_dtype(DType::F32)?.contiguous()?;
    if share_storage(variable, &gradient) {
        // The variable's lock is held while the gradient's is taken.
        gradient = gradient.copy()?;
    }
    variable.inplace_op1(&Fused {
        rule,
        preparation,
        gradient: &gradient,
        state: Mutex::new(state),
    })
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
        let state = state.each_mut().map(|slot| &mut **slot);
        let (weights, gradient) = (&mut weights[start..end], &gradient[from..to]);
        if weights.len() != gradient.len() || state.iter().any(|s| s.len() != weights.len()) {
            bail!("a fused step takes as many gradients and states as weights");
        }
        halves(self.rule, &self.preparation, weights, gradient, state);
        Ok(())
    }
}

/// Divides the work until a span is left. Values don't depend on each other,
/// so the result does not depend on the threads.
fn halves<R: Rule<N>, const N: usize>(
    rule: &R,
    preparation: &Preparation,
    weights: &mut [f32],
    gradient: &[f32],
    state: [&mut [f32]; N],
) {
    if weights.len() <= SPAN {
        return span(rule, preparation, weights, gradient, state);
    }
    let middle = weights.len() / 2;
    let (left, right) = weights.split_at_mut(middle);
    let (left_gradient, right_gradient) = gradient.split_at(middle);
    let mut rest: [&mut [f32]; N] = std::array::from_fn(|_| Default::default());
    let mut slots = state.into_iter().zip(&mut rest);
    let left_state = std::array::from_fn(|_| match slots.next() {
        Some((slot, rest)) => {
            let (left, right) = slot.split_at_mut(middle);
            *rest = right;
            left
        }
        None => Default::default(),
    });
    rayon::join(
        || halves(rule, preparation, left, left_gradient, left_state),
        || halves(rule, preparation, right, right_gradient, rest),
    );
}

fn span<R: Rule<N>, const N: usize>(
    rule: &R,
    preparation: &Preparation,
    weights: &mut [f32],
    gradient: &[f32],
    state: [&mut [f32]; N],
) {
    let length = weights.len();
    let gradient = &gradient[..length];
    let mut state = state.map(|slot| &mut slot[..length]);
    for index in 0..length {
        let (weight, gradient) = preparation.value(weights[index], gradient[index]);
        let mut own: [f32; N] = std::array::from_fn(|slot| state[slot][index]);
        weights[index] = rule.value(weight, gradient, &mut own);
        for (slot, value) in state.iter_mut().zip(own) {
            slot[index] = value;
        }
    }
}
