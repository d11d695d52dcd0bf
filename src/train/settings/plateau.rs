use serde::{Deserialize, Serialize};

use super::schedule::Schedule;

/// By how much the loss must fall to count, as in Keras.
const MIN_DELTA: f64 = 1e-4;

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

    /// Takes an epoch's loss into account.
    pub(in crate::train) fn observe(&mut self, schedule: &Schedule, loss: f64) {
        let Some(rule) = schedule.plateau() else {
            return;
        };
        // NaN is never the best: no loss would ever be below it.
        if !loss.is_nan() && self.best.is_none_or(|best| loss < best - MIN_DELTA) {
            self.best = Some(loss);
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited >= rule.patience {
            self.factor *= rule.factor;
            self.waited = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
