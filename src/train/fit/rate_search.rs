use std::fmt;

use crate::data::Dataset;
use crate::error::{Error, Result, require};
use crate::optim::OptimizerState;
use crate::train::snapshot::Snapshot;
use crate::train::trainer::Trainer;

use super::accepted::Accepted;
use super::training_model::{Start, TrainingModel};

/// The loss at learning rates that grow from step to step (Smith 2017).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RateSearch {
    /// The learning rates that were tried, ascending.
    pub rates: Vec<f64>,
    /// The loss at each, averaged over the steps before it.
    pub losses: Vec<f64>,
}

const LOWEST: f64 = 1e-7;
const HIGHEST: f64 = 10.0;
const STEPS: u32 = 100;

/// Number of first steps whose averages contain too few losses.
const SETTLING: usize = 10;

/// Steps before and after a rate over which its slope is taken.
const AROUND: usize = 2;

/// The fraction of the last average that is kept, as in fastai.
const KEPT: f64 = 0.98;

impl RateSearch {
    /// The rate at which the loss falls most steeply, over a few steps. The
    /// first ten steps are left out, as in fastai's plot, because the average is
    /// not yet stable. `None` if the loss never falls.
    pub fn suggested(&self) -> Option<f64> {
        let falls = self.losses.windows(2 * AROUND + 1).skip(SETTLING);
        let rates = self.rates.iter().skip(SETTLING + AROUND);
        let (mut steepest, mut best) = (0.0, None);
        for (losses, &rate) in falls.zip(rates) {
            let slope = losses[2 * AROUND] - losses[0];
            if slope < steepest {
                (steepest, best) = (slope, Some(rate));
            }
        }
        best
    }

    /// A tenth of the rate with the lowest loss; `None` without losses.
    pub fn a_tenth_of_the_best(&self) -> Option<f64> {
        let pairs = self.losses.iter().zip(&self.rates);
        let (_, rate) = pairs.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        Some(rate / 10.0)
    }
}

impl fmt::Display for RateSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} {:>10}", "rate", "loss")?;
        for (rate, loss) in self.rates.iter().zip(&self.losses) {
            write!(f, "\n{rate:>10.2e} {loss:>10.4}")?;
        }
        if let Some(rate) = self.suggested() {
            write!(f, "\nfalls most steeply at {rate:.1e}")?;
        }
        if let Some(rate) = self.a_tenth_of_the_best() {
            write!(f, "\na tenth of the best is {rate:.1e}")?;
        }
        Ok(())
    }
}

impl Trainer<'_> {
    /// Tries learning rates from 1e-7 to 10 in a hundred steps on the data, ends
    /// early if the loss explodes, and leaves the model unchanged.
    ///
    /// # Errors
    /// The errors of [`Trainer::fit`], and
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for an
    /// optimizer whose learning rate is 0.
    pub fn find_learning_rate(&self, train: &dyn Dataset) -> Result<RateSearch> {
        let Accepted {
            settings,
            parameters,
        } = Accepted::new(self.model, &self.settings, train)?;
        let base = self.settings.optimizer.learning_rate();
        require(
            base != 0.0,
            "a learning rate of 0",
            "can't be varied; give the optimizer another",
        )?;
        let before = Snapshot::of(self.model)?;
        let masks = self.model.masks_drawn();
        let mut search = Search::default();
        let model = TrainingModel::whole(self.model, &settings);
        let loader = settings.training_loader(train, self.model);
        let mut optimizer = OptimizerState::new(self.settings.optimizer.clone());
        let mut start = Start::default();
        let mut goes_on = loader.batches() > 0;
        let mut outcome = Ok(());
        while goes_on && outcome.is_ok() {
            outcome = model.batches(&loader, None, start, |batch| {
                let rate = search.next_rate();
                let scores = model.scores(&batch, true)?;
                let loss = model.loss(&batch, &scores)?;
                goes_on = search.note(rate, loss.value) && !self.settings.is_interrupted();
                if goes_on {
                    match parameters.descend(&loss.tensor, &mut optimizer, rate / base) {
                        Err(Error::Training(error)) if error.is_of_a_step() => goes_on = false,
                        other => drop(other?),
                    }
                }
                Ok(goes_on)
            });
            start.epoch += 1;
        }
        before.restore(self.model)?;
        self.model.set_masks_drawn(masks);
        outcome?;
        Ok(RateSearch {
            rates: search.rates,
            losses: search.losses,
        })
    }
}

#[derive(Default)]
struct Search {
    rates: Vec<f64>,
    losses: Vec<f64>,
    /// The running average of the losses, not yet corrected for its start at 0.
    average: f64,
}

impl Search {
    fn next_rate(&self) -> f64 {
        let fraction = self.rates.len() as f64 / f64::from(STEPS - 1);
        LOWEST * libm::pow(HIGHEST / LOWEST, fraction)
    }

    /// Adds a loss; false if the search ends here.
    fn note(&mut self, rate: f64, loss: f64) -> bool {
        if !loss.is_finite() {
            return false;
        }
        self.average = KEPT * self.average + (1.0 - KEPT) * loss;
        self.rates.push(rate);
        let count = i32::try_from(self.rates.len()).unwrap_or(i32::MAX);
        let smooth = self.average / (1.0 - KEPT.powi(count));
        self.losses.push(smooth);
        let losses = self.losses.iter().copied();
        let best = losses.fold(f64::INFINITY, f64::min);
        // Up to four times the best loss, if that is above 0.
        self.rates.len() < STEPS as usize && smooth <= best + 3.0 * best.abs()
    }
}
