use std::fmt;

use crate::data::Dataset;
use crate::error::{Result, TrainingError};
use crate::optim::OptimizerState;

use super::group::trained;
use super::learner::descend;
use super::net::Net;
use super::snapshot::Snapshot;
use super::trainer::Trainer;

/// The loss at learning rates that grow from step to step (Smith 2017).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RateSearch {
    /// The learning rates that were tried, ascending.
    pub rates: Vec<f64>,
    /// The loss at each, averaged over the steps before it.
    pub losses: Vec<f64>,
}

/// Rates that a search goes through.
const LOWEST: f64 = 1e-7;
const HIGHEST: f64 = 10.0;
const STEPS: u32 = 100;

/// Steps whose averages are still of few losses.
const SETTLING: usize = 10;

/// Steps before and after one that its slope is taken over.
const AROUND: usize = 2;

/// The share of the last average that is kept, as in fastai.
const KEPT: f64 = 0.98;

impl RateSearch {
    /// The rate at which the loss falls most steeply, over a few steps and
    /// without the first ten, in which the average has still to settle, as in
    /// fastai's plot; `None` if it never falls.
    pub fn steepest(&self) -> Option<f64> {
        let falls = self.losses.windows(2 * AROUND + 1).skip(SETTLING);
        let rates = self.rates.iter().skip(SETTLING + AROUND);
        let mut best: Option<(f64, f64)> = None;
        for (losses, &rate) in falls.zip(rates) {
            let slope = losses[2 * AROUND] - losses[0];
            if slope < best.map_or(0.0, |(steepest, _)| steepest) {
                best = Some((slope, rate));
            }
        }
        best.map(|(_, rate)| rate)
    }

    /// A tenth of the rate at which the loss was lowest; `None` without
    /// losses.
    pub fn a_tenth_of_the_best(&self) -> Option<f64> {
        let pairs = self.losses.iter().zip(&self.rates);
        let best = pairs.min_by(|a, b| a.0.total_cmp(b.0))?;
        Some(best.1 / 10.0)
    }
}

impl fmt::Display for RateSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} {:>10}", "rate", "loss")?;
        for (rate, loss) in self.rates.iter().zip(&self.losses) {
            write!(f, "\n{rate:>10.2e} {loss:>10.4}")?;
        }
        if let Some(rate) = self.steepest() {
            write!(f, "\nfalls most steeply at {rate:.1e}")?;
        }
        if let Some(rate) = self.a_tenth_of_the_best() {
            write!(f, "\na tenth of the best is {rate:.1e}")?;
        }
        Ok(())
    }
}

impl Trainer<'_> {
    /// Tries learning rates from 1e-7 to 10 in a hundred steps on the data,
    /// ends early where the loss explodes, and leaves the model as it was.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and [`TrainingError::Setting`] for an optimiser whose
    /// learning rate is 0.
    pub fn find_learning_rate(&self, train: &dyn Dataset) -> Result<RateSearch> {
        self.settings.check()?;
        self.settings.check_examples(train)?;
        if self.settings.optimizer.learning_rate() == 0.0 {
            return Err(TrainingError::Setting {
                setting: "a learning rate of 0".to_string(),
                reason: "takes no steps to search by; give the optimiser any other",
            }
            .into());
        }
        let trained = trained(self.model, &self.settings)?;
        let before = Snapshot::of(self.model)?;
        let masks = self.model.masks_drawn();
        let mut search = Search {
            found: RateSearch {
                rates: Vec::new(),
                losses: Vec::new(),
            },
            average: 0.0,
        };
        let net = Net::whole(self.model, &self.settings);
        let loader = self.settings.training_loader(train, self.model);
        let mut optimizer = OptimizerState::new(self.settings.optimizer.clone());
        let base = self.settings.optimizer.learning_rate();
        let mut epoch = 0;
        let mut goes_on = loader.batches() > 0;
        let mut outcome = Ok(());
        while goes_on && outcome.is_ok() {
            outcome = net.batches(&loader, None, (epoch, 0), |batch| {
                let rate = search.next_rate();
                let scores = net.scores(&batch, true)?;
                let weights = batch.weights.as_ref();
                let loss = self.settings.loss.grade(&scores, &batch.targets, weights);
                let loss = loss.map_err(|error| batch.locate(error))?;
                goes_on = search.note(rate, loss.value) && !self.settings.is_interrupted();
                if goes_on {
                    let way = (&self.settings, rate / base);
                    let steep = descend(&loss.tensor, &trained, &mut optimizer, way)?;
                    goes_on = steep.is_none();
                }
                Ok(goes_on)
            });
            epoch += 1;
        }
        before.restore(self.model)?;
        self.model.set_masks_drawn(masks);
        outcome?;
        Ok(search.found)
    }
}

struct Search {
    found: RateSearch,
    average: f64,
}

impl Search {
    fn next_rate(&self) -> f64 {
        let share = self.found.rates.len() as f64 / f64::from(STEPS - 1);
        LOWEST * (HIGHEST / LOWEST).powf(share)
    }

    /// Adds a loss; false if there is no use in going on.
    fn note(&mut self, rate: f64, loss: f64) -> bool {
        if !loss.is_finite() {
            return false;
        }
        self.average = KEPT * self.average + (1.0 - KEPT) * loss;
        self.found.rates.push(rate);
        let count = i32::try_from(self.found.rates.len()).unwrap_or(i32::MAX);
        let smooth = self.average / (1.0 - KEPT.powi(count));
        self.found.losses.push(smooth);
        let best = self
            .found
            .losses
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        // Four times the best, where that is above 0.
        self.found.rates.len() < STEPS as usize && smooth <= best + 3.0 * best.abs()
    }
}
