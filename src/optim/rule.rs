use candle_core::{Result, Tensor};

use super::settings::{Adam, Convention, RmsProp, Sgd};

/// A step's formula for one weight with `N` state values, and the same for whole
/// tensors.
pub(super) trait Rule<const N: usize>: Sync {
    /// The new weight.
    fn value(&self, weight: f32, gradient: f32, state: &mut [f32; N]) -> f32;

    /// Bounds on a step, given bounds on the gradient and on all state values.
    fn bound(&self, gradient: f64, state: f64) -> Bound;

    /// The new weights.
    fn tensor(&self, weight: &Tensor, gradient: &Tensor, state: &mut [Tensor; N])
    -> Result<Tensor>;
}

/// Bounds on the absolute values of what a step makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Of the new state.
    pub(super) state: f64,
    /// Of what is subtracted from the weight, and of what it is computed from.
    pub(super) change: f64,
}

impl Bound {
    /// Whether no finite f32 weight can overflow: such a change is less than half the
    /// distance between the largest f32 numbers. There is room for all roundings.
    pub(super) fn is_small(&self) -> bool {
        self.state <= 1e30 && self.change <= 1e30
    }
}

/// `kept * old + (1 - kept) * new`.
fn blend(old: &Tensor, new: &Tensor, kept: f64) -> Result<Tensor> {
    (old * kept)? + (new * (1.0 - kept))?
}

pub(super) struct SgdRule {
    pub(super) sgd: Sgd,
    pub(super) rate: f64,
}

impl Rule<0> for SgdRule {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32, _state: &mut [f32; 0]) -> f32 {
        weight - self.rate as f32 * gradient
    }

    fn bound(&self, gradient: f64, _state: f64) -> Bound {
        Bound {
            state: gradient,
            change: self.rate.max(self.rate * gradient),
        }
    }

    fn tensor(
        &self,
        weight: &Tensor,
        gradient: &Tensor,
        _state: &mut [Tensor; 0],
    ) -> Result<Tensor> {
        weight - (gradient * self.rate)?
    }
}

impl Rule<1> for SgdRule {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32, [velocity]: &mut [f32; 1]) -> f32 {
        let (rate, momentum) = (self.rate as f32, self.sgd.momentum as f32);
        *velocity = momentum * *velocity + gradient;
        if self.sgd.nesterov {
            weight - rate * (gradient + momentum * *velocity)
        } else {
            weight - rate * *velocity
        }
    }

    fn bound(&self, gradient: f64, state: f64) -> Bound {
        let state = self.sgd.momentum * state + gradient;
        Bound {
            state,
            change: self.rate.max(self.rate * (gradient + state)),
        }
    }

    fn tensor(
        &self,
        weight: &Tensor,
        gradient: &Tensor,
        [velocity]: &mut [Tensor; 1],
    ) -> Result<Tensor> {
        *velocity = ((&*velocity * self.sgd.momentum)? + gradient)?;
        let direction = if self.sgd.nesterov {
            (gradient + (&*velocity * self.sgd.momentum)?)?
        } else {
            velocity.clone()
        };
        weight - (direction * self.rate)?
    }
}

/// State: the mean square; then, if used, the momentum's increment and the mean
/// gradient.
pub(super) struct RmsPropRule {
    pub(super) rms_prop: RmsProp,
    pub(super) rate: f64,
}

impl<const N: usize> Rule<N> for RmsPropRule {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32, state: &mut [f32; N]) -> f32 {
        let rms_prop = &self.rms_prop;
        let (rate, epsilon) = (self.rate as f32, rms_prop.epsilon as f32);
        let (rho, rest) = (rms_prop.rho as f32, (1.0 - rms_prop.rho) as f32);
        state[0] = rho * state[0] + rest * gradient * gradient;
        let mut spread = state[0];
        if rms_prop.centered {
            state[N - 1] = rho * state[N - 1] + rest * gradient;
            // For a constant gradient rounding can take this below 0.
            spread = (spread - state[N - 1] * state[N - 1]).max(0.0);
        }
        let (gain, last_rate) = match rms_prop.convention {
            Convention::Keras => (rate / (spread + epsilon).sqrt(), 1.0),
            Convention::PyTorch => (1.0 / (spread.sqrt() + epsilon), rate),
        };
        let mut increment = gradient * gain;
        if rms_prop.momentum != 0.0 {
            increment += rms_prop.momentum as f32 * state[1];
            state[1] = increment;
        }
        weight - last_rate * increment
    }

    fn bound(&self, gradient: f64, state: f64) -> Bound {
        let rms_prop = &self.rms_prop;
        let mean = rms_prop.rho * state + gradient.max(gradient * gradient);
        let (gain, last_rate) = match rms_prop.convention {
            Convention::Keras => (self.rate / rms_prop.epsilon.sqrt(), 1.0),
            Convention::PyTorch => (1.0 / rms_prop.epsilon, self.rate),
        };
        let increment = gradient * gain + rms_prop.momentum * state;
        Bound {
            state: mean.max(increment),
            change: self.rate.max(gain).max(increment * last_rate),
        }
    }

    fn tensor(
        &self,
        weight: &Tensor,
        gradient: &Tensor,
        state: &mut [Tensor; N],
    ) -> Result<Tensor> {
        let rms_prop = &self.rms_prop;
        state[0] = blend(&state[0], &gradient.sqr()?, rms_prop.rho)?;
        let mut spread = state[0].clone();
        if rms_prop.centered {
            state[N - 1] = blend(&state[N - 1], gradient, rms_prop.rho)?;
            spread = (spread - state[N - 1].sqr()?)?.relu()?;
        }
        let (divisor, rate, last_rate) = match rms_prop.convention {
            Convention::Keras => ((spread + rms_prop.epsilon)?.sqrt()?, self.rate, 1.0),
            Convention::PyTorch => ((spread.sqrt()? + rms_prop.epsilon)?, 1.0, self.rate),
        };
        let mut increment = ((gradient * rate)? / divisor)?;
        if rms_prop.momentum != 0.0 {
            increment = (increment + (&state[1] * rms_prop.momentum)?)?;
            state[1] = increment.clone();
        }
        weight - (increment * last_rate)?
    }
}

/// State: the mean gradient and the mean square.
pub(super) struct AdamRule {
    beta1: f64,
    beta2: f64,
    /// The learning rate, divided by the first mean's bias correction.
    rate: f64,
    /// The root of the second mean's bias correction.
    root: f64,
    epsilon: f64,
}

impl AdamRule {
    /// The rule of step `step`, counted from 1.
    pub(super) fn new(adam: &Adam, rate: f64, step: u64) -> Self {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let root = (1.0 - adam.beta2.powi(step)).sqrt();
        Self {
            beta1: adam.beta1,
            beta2: adam.beta2,
            rate: rate / (1.0 - adam.beta1.powi(step)),
            root,
            epsilon: match adam.convention {
                Convention::PyTorch => adam.epsilon,
                Convention::Keras => adam.epsilon / root,
            },
        }
    }
}

impl Rule<2> for AdamRule {
    #[inline(always)]
    fn value(&self, weight: f32, gradient: f32, [mean, square]: &mut [f32; 2]) -> f32 {
        *mean = self.beta1 as f32 * *mean + (1.0 - self.beta1) as f32 * gradient;
        *square = self.beta2 as f32 * *square + (1.0 - self.beta2) as f32 * gradient * gradient;
        let divisor = square.sqrt() * (1.0 / self.root) as f32 + self.epsilon as f32;
        weight - self.rate as f32 * *mean / divisor
    }

    fn bound(&self, gradient: f64, state: f64) -> Bound {
        let means = state.max(gradient).max(gradient * gradient);
        Bound {
            state: means,
            change: self
                .rate
                .max(self.rate * means)
                .max(self.rate * means / self.epsilon),
        }
    }

    fn tensor(
        &self,
        weight: &Tensor,
        gradient: &Tensor,
        [mean, square]: &mut [Tensor; 2],
    ) -> Result<Tensor> {
        *mean = blend(mean, gradient, self.beta1)?;
        *square = blend(square, &gradient.sqr()?, self.beta2)?;
        let divisor = ((square.sqrt()? / self.root)? + self.epsilon)?;
        weight - ((&*mean * self.rate)? / divisor)?
    }
}
