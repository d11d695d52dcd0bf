use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Result, require};
use crate::optim::non_negative;

/// By how much the loss must fall to count, as in Keras.
const MIN_DELTA: f64 = 1e-4;

/// How the learning rate changes during a `fit`: a factor on every rate, at
/// each step.
///
/// ```
/// use vgg_surgery::train::Schedule;
///
/// let schedule = Schedule::cosine().warm_up(1.0);
/// // 5 epochs of 10 steps; the first epoch warms up.
/// assert_eq!(schedule.factor(0, 10, 50), 0.1);
/// assert_eq!(schedule.factor(10, 10, 50), 1.0);
/// assert!(schedule.factor(49, 10, 50) < 0.01);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Schedule {
    curve: Curve,
    warm_up: f64,
}

#[derive(Clone, Debug)]
enum Curve {
    Constant,
    Step { every: u64, factor: f64 },
    Exponential(f64),
    Cosine { last: f64 },
    OneCycle,
    Plateau { factor: f64, patience: u64 },
    Custom(CustomFactor),
}

#[derive(Clone)]
struct CustomFactor(Arc<dyn Fn(f64) -> f64 + Send + Sync>);

impl fmt::Debug for CustomFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Schedule {
    fn of(curve: Curve) -> Self {
        Self {
            curve,
            warm_up: 0.0,
        }
    }

    /// The same rate throughout.
    pub fn constant() -> Self {
        Self::of(Curve::Constant)
    }

    /// Multiplies the rate by `factor` after every `every` epochs (PyTorch's `StepLR`).
    pub fn step(every: u64, factor: f64) -> Self {
        Self::of(Curve::Step { every, factor })
    }

    /// Multiplies the rate by `factor` after every epoch (PyTorch's `ExponentialLR`).
    pub fn exponential(factor: f64) -> Self {
        Self::of(Curve::Exponential(factor))
    }

    /// Lowers the rate to 0 along half a cosine during the fit (Loshchilov and
    /// Hutter 2017; PyTorch's `CosineAnnealingLR`, step by step).
    pub fn cosine() -> Self {
        Self::cosine_to(0.0)
    }

    /// Like [`Schedule::cosine`], but ends at this fraction of the rate, which is
    /// at least 0.
    pub fn cosine_to(last: f64) -> Self {
        Self::of(Curve::Cosine { last })
    }

    /// Raises the rate from 1/25 of it during the first 30 % of the steps, then
    /// lowers it to 1/250,000, both along cosines (Smith and Topin 2018; PyTorch's
    /// `OneCycleLR`). The given rate is the highest.
    pub fn one_cycle() -> Self {
        Self::of(Curve::OneCycle)
    }

    /// Multiplies the rate by `factor` whenever the validation loss, or without
    /// validation the loss, has not fallen for `patience` epochs (Keras'
    /// `ReduceLROnPlateau`, with its `min_delta` 0.0001).
    pub fn reduce_on_plateau(factor: f64, patience: u64) -> Self {
        Self::of(Curve::Plateau { factor, patience })
    }

    /// A custom factor for each fraction, from 0 to below 1, of the fit that has
    /// passed. A factor that is not finite or below 0 ends the training with
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting).
    pub fn custom(factor: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        Self::of(Curve::Custom(CustomFactor(Arc::new(factor))))
    }

    /// Raises the rate from near 0 over this many epochs, in even steps. The
    /// schedule itself is spread over the remaining steps.
    pub fn warm_up(mut self, epochs: f64) -> Self {
        self.warm_up = epochs;
        self
    }

    /// The factor at a step from 0 of a fit of `total` steps, without that of
    /// [`Schedule::reduce_on_plateau`].
    pub fn factor(&self, step: u64, steps_per_epoch: u64, total: u64) -> f64 {
        let warm = (self.warm_up * steps_per_epoch as f64).round().max(0.0) as u64;
        if step < warm {
            return (step + 1) as f64 / warm as f64;
        }
        let (step, total) = (step - warm, total.saturating_sub(warm).max(1));
        let epoch = step / steps_per_epoch.max(1);
        match &self.curve {
            Curve::Constant | Curve::Plateau { .. } => 1.0,
            Curve::Step { every, factor } => libm::pow(*factor, (epoch / (*every).max(1)) as f64),
            Curve::Exponential(factor) => libm::pow(*factor, epoch as f64),
            Curve::Cosine { last } => along_cosine(1.0, *last, step as f64 / total as f64),
            Curve::OneCycle => one_cycle(step as f64, total as f64),
            Curve::Custom(CustomFactor(factor)) => factor(step as f64 / total as f64),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        non_negative("a warm-up in epochs", self.warm_up)?;
        match self.curve {
            Curve::Step { every: 0, .. } => {
                require(false, "a schedule's step of 0 epochs", "must be at least 1")
            }
            Curve::Step { factor, .. } | Curve::Exponential(factor) => require(
                factor > 0.0 && factor.is_finite(),
                format_args!("a schedule's factor {factor}"),
                "must be finite and above 0",
            ),
            Curve::Cosine { last } => non_negative("a cosine's last fraction", last),
            Curve::Plateau { factor, .. } => require(
                factor > 0.0 && factor < 1.0,
                format_args!("a plateau's factor {factor}"),
                "must be between 0 and 1",
            ),
            Curve::Constant | Curve::OneCycle | Curve::Custom(_) => Ok(()),
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::constant()
    }
}

fn along_cosine(from: f64, to: f64, fraction: f64) -> f64 {
    to + (from - to) * (1.0 + libm::cos(PI * fraction)) / 2.0
}

/// PyTorch's `OneCycleLR` with `pct_start` 0.3, `div_factor` 25 and
/// `final_div_factor` 1e4.
fn one_cycle(step: f64, total: f64) -> f64 {
    let (first, last) = (1.0 / 25.0, 1.0 / 25.0 / 1e4);
    let top = 0.3 * total - 1.0;
    if step <= top {
        return along_cosine(first, 1.0, step / top.max(1.0));
    }
    let down = (total - 1.0 - top).max(1.0);
    along_cosine(1.0, last, (step - top) / down)
}

/// What [`Schedule::reduce_on_plateau`] remembers between epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::train) struct Plateau {
    best: Option<f64>,
    waited: u64,
    factor: f64,
}

impl Plateau {
    pub(in crate::train) fn new() -> Self {
        Self {
            best: None,
            waited: 0,
            factor: 1.0,
        }
    }

    pub(in crate::train) fn factor(&self) -> f64 {
        self.factor
    }

    pub(in crate::train) fn observe(&mut self, schedule: &Schedule, loss: f64) {
        let Curve::Plateau { factor, patience } = schedule.curve else {
            return;
        };
        // NaN is never the best: no loss would ever be below it.
        if !loss.is_nan() && self.best.is_none_or(|best| loss < best - MIN_DELTA) {
            self.best = Some(loss);
            self.waited = 0;
            return;
        }
        // A checkpoint may hold any number.
        self.waited = self.waited.saturating_add(1);
        if self.waited >= patience {
            self.factor *= factor;
            self.waited = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From a checkpoint of any contents.
    #[test]
    fn any_number_of_epochs_may_have_been_waited() {
        let schedule = Schedule::reduce_on_plateau(0.5, u64::MAX);
        let mut plateau = Plateau {
            waited: u64::MAX,
            ..Plateau::new()
        };
        plateau.observe(&schedule, f64::NAN);
        assert_eq!(plateau.factor(), 0.5);
    }

    /// The losses after it fall, so the rate stays.
    #[test]
    fn nan_is_never_the_best_loss() {
        let schedule = Schedule::reduce_on_plateau(0.5, 2);
        let mut plateau = Plateau::new();
        for loss in [f64::NAN, 4.0, 3.0, 2.0, f64::NAN, 1.0] {
            plateau.observe(&schedule, loss);
        }
        assert_eq!(plateau.factor(), 1.0);
    }
}
