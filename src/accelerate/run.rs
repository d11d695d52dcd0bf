use crate::error::{Error, Result};
use crate::heal::{self, HealPhase, Pair, Progress, Target};
use crate::model::Model;
use crate::preprocess::Image;

use super::acceleration::{Acceleration, Budget};
use super::closed_form::{Lesson, Walk, fit};
use super::frontier::{Frontier, FrontierPoint};
use super::measure::{Measured, measure, targets};
use super::pruned::{Fitted, finish};
use super::report::AccelerationReport;
use super::session::{Session, out_of_reach};
use super::units::plain_conv;

/// The rate of gradient descent at its start.
const RATE: f64 = 3e-5;

/// Crops of a step of gradient descent, and the number of the first crop; the
/// calibration uses lower numbers.
const CROPS: usize = 3;
const FIRST_CROP: u64 = 1 << 24;

/// The fraction of crops whose colors are exchanged.
const EXCHANGED: f64 = 0.3;

/// Speed-ups that are tried to find the fastest network of an R2.
const LADDER: [f64; 10] = [1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0];

impl Model {
    /// Makes the whole network faster: a model with fewer channels, whose values
    /// stay near this model's. It needs a few unlabeled images, and no gradient
    /// steps. This model is unchanged.
    ///
    /// Crops of the images run through the network. For each convolution, the
    /// channels that its readers can best do without are found by Optimal Brain
    /// Surgeon (Hassibi and Stork 1993), applied to whole channels. The numbers of
    /// channels that lose least within the budget are chosen, by the time of each
    /// layer measured on this machine. Then all filters are fitted by least
    /// squares, from the first layer to the last: from what they see in the new
    /// network, to what they gave in the old one (Zhang et al. 2015, He et al.
    /// 2017), with regard to the ReLU. Large dense layers are held in f16 and frozen
    /// ([`Acceleration::exact_dense`]). Batch norms are folded.
    ///
    /// A convolution may lose channels if only convolutions of one group read
    /// them, with nothing but pools and activations between. All other layers
    /// stay, as do the shapes of the outputs. Each change is in
    /// [`Graph::operations`](crate::Graph::operations).
    ///
    /// ```
    /// use vgg_surgery::accelerate::Acceleration;
    /// use vgg_surgery::{Image, Vgg16};
    /// use candle_core::Device;
    ///
    /// let model = Vgg16::nano().truncate("block2_pool")?.build(&Device::Cpu)?;
    /// let bytes: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * i % 251) as u8).collect();
    /// let images = vec![Image::from_rgb8(64, 64, bytes)?];
    /// let half = Acceleration::macs(2.0).seconds(1.0);
    /// let (faster, report) = model.accelerate(&half, &images)?;
    /// assert!(report.macs >= 2.0);
    /// assert_eq!(faster.graph().output_shapes(), model.graph().output_shapes());
    /// println!("{report}");
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`AccelerationError::NothingToRemove`](crate::error::AccelerationError::NothingToRemove)
    /// if no layer may lose channels;
    /// [`AccelerationError::OutOfReach`](crate::error::AccelerationError::OutOfReach),
    /// with the best that there is, for a budget that can't be met;
    /// [`AccelerationError::NonFinite`](crate::error::AccelerationError::NonFinite)
    /// if values are NaN or infinite; [`Error::InvalidSetting`](crate::Error::InvalidSetting) for
    /// illegal settings; [`ImageError::EmptyBatch`](crate::error::ImageError::EmptyBatch)
    /// without images; [`Error::Unsupported`](crate::Error::Unsupported) if the
    /// network has no preprocessing, or if [`Acceleration::fine_tune`] edits it; the
    /// errors of the selection, of the preprocessing and of [`Model::forward`].
    pub fn accelerate(
        &self,
        acceleration: &Acceleration,
        images: &[Image],
    ) -> Result<(Self, AccelerationReport)> {
        let mut session = Session::start(self, acceleration, images)?;
        match &acceleration.budget {
            Budget::R2(r2) => session.fastest_with(*r2),
            budget => session.network(budget),
        }
    }

    /// Makes networks of several speeds with one calibration, for a chart of what
    /// speed costs. The numbers are speed-ups, or, if the budget of `acceleration`
    /// is of multiplications or parameters, how many times fewer there are.
    ///
    /// # Errors
    /// As [`Model::accelerate`].
    pub fn frontier(
        &self,
        factors: &[f64],
        acceleration: &Acceleration,
        images: &[Image],
    ) -> Result<Frontier> {
        let budget = match acceleration.budget {
            Budget::Macs(_) => Budget::Macs,
            Budget::Parameters(_) => Budget::Parameters,
            _ => Budget::Speedup,
        };
        let budgets: Vec<Budget> = factors.iter().map(|&factor| budget(factor)).collect();
        budgets.iter().try_for_each(Budget::check)?;
        let settings = acceleration.clone().within(budget(1.0));
        let mut session = Session::start(self, &settings, images)?;
        let points = budgets.into_iter().zip(factors).map(|(budget, &factor)| {
            let (model, report) = session.network(&budget)?;
            Ok(FrontierPoint {
                factor,
                model,
                report,
            })
        });
        Ok(Frontier {
            points: points.collect::<Result<_>>()?,
        })
    }
}

impl Session<'_> {
    /// The network of a budget.
    fn network(&mut self, budget: &Budget) -> Result<(Model, AccelerationReport)> {
        let (widths, pruned) = self.choose(budget)?;
        let targets = targets(&self.old, &self.counting, self.choice(&widths))?;
        let convs = pruned.graph().ids_where(|node| plain_conv(node).is_some());
        let learning = pruned.learning_only(&convs)?;
        self.reconstruct(&learning, &widths)?;
        self.clock.lap("reconstruction");
        let steps = self.distill(&learning, &targets)?;
        let mut network = finish(&pruned, &learning)?;
        if let Some(train) = &self.settings.fine_tuning {
            train(&mut network)?;
            if network.graph().ids() != pruned.graph().ids() {
                return Err(Error::Unsupported {
                    what: "edit the network in fine_tune",
                    reason: "it may only train; edit what accelerate returns".to_string(),
                });
            }
            self.clock.lap("fine-tuning");
        }
        let report = self.report(&network, &widths, (&targets, steps))?;
        Ok((network, report))
    }

    /// The fastest network of the ladder with this R2 at its last output.
    fn fastest_with(&mut self, r2: f64) -> Result<(Model, AccelerationReport)> {
        let (mut low, mut high) = (0, LADDER.len());
        let mut best = None;
        let mut nearest = f64::NEG_INFINITY;
        while low < high {
            let middle = (low + high) / 2;
            let (network, report) = self.network(&Budget::Speedup(LADDER[middle]))?;
            let found = report.blocks.last().map_or(f64::NAN, |block| block.r2);
            nearest = nearest.max(found);
            if found >= r2 {
                best = Some((network, report));
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        best.ok_or_else(|| out_of_reach(&Budget::R2(r2), &format!("an R2 of {nearest:.4}")))
    }

    /// Fits all filters, from the first layer to the last.
    fn reconstruct(&self, learning: &Model, widths: &[usize]) -> Result<()> {
        let choice = self.choice(widths);
        let units = self.units.iter().zip(&self.studied);
        let readers = units.flat_map(|(unit, studied)| unit.readers.iter().zip(&studied.targets));
        let mut lessons: Vec<Lesson<'_>> = readers
            .map(|(&layer, targets)| Lesson {
                layer,
                key: self.old.graph().position(layer).unwrap_or(0),
                targets,
                kept: choice.kept(layer),
            })
            .collect();
        lessons.sort_by_key(|lesson| lesson.key);
        let course = self.course();
        let mut walk = Walk::new(learning, &course);
        for lesson in &lessons {
            let filters = fit(&mut walk, lesson)?;
            Fitted::of(&filters, learning, lesson.layer)?.set(learning, lesson.layer)?;
        }
        Ok(())
    }

    /// Gradient descent on the ends of blocks, if it was asked for. What is not
    /// nearer to the old network afterwards is not kept. Returns the steps that
    /// count.
    fn distill(&mut self, learning: &Model, targets: &[Target]) -> Result<usize> {
        let steps = self.settings.steps;
        if steps == 0 {
            return Ok(0);
        }
        let error = |session: &Self| -> Result<f64> {
            let found = measure(
                learning,
                &session.old,
                targets,
                Measured::Crops(&session.lessons),
            )?;
            Ok(found.iter().map(|row| 1.0 - row.r2).sum())
        };
        let before = error(self)?;
        let variables = learning.variables().map(|found| found.variable.clone());
        let kept = variables.map(|variable| Ok((variable.copy()?.detach(), variable)));
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let course = heal::Course {
            phase: HealPhase::Features,
            values: targets.to_vec(),
            learners: learning
                .variables()
                .map(|found| (found.node.id(), RATE))
                .collect(),
            steps,
            limit: None,
            crop: FIRST_CROP,
            exchanged: EXCHANGED,
        };
        let pair = Pair {
            new: learning,
            old: &self.old,
            layer: self.old.graph().name(),
        };
        course.follow(pair, &self.lessons, CROPS, &Progress::new(None, ""))?;
        let is_better = error(self)? < before;
        if !is_better {
            for (values, variable) in &kept {
                variable.set(values)?;
            }
        }
        self.clock.lap("distillation");
        Ok(if is_better { steps } else { 0 })
    }
}
