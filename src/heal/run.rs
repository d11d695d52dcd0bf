use candle_core::{Tensor, Var};

use crate::error::{Error, HealingError, Result};
use crate::graph::{Contract, NodeId, NodeRef, Pick};
use crate::model::Model;
use crate::preprocess::Image;
use crate::surgery::LayerCheck;

use super::blocks::{End, ends, measure};
use super::compose::compose;
use super::distill::{Steps, adapting, distill};
use super::healing::{Healing, HealingMethod};
use super::least_squares;
use super::lessons::{Each, Lessons};
use super::progress::Progress;
use super::report::HealReport;
use super::seam::Seam;

impl Model {
    /// Heals a convolution that replaced other layers: it learns to give what
    /// they gave, by [`Healing::auto`]. Its variables change, as by an optimizer;
    /// `old` is unchanged. The graph's [operations](crate::Graph::operations)
    /// record it: as exact if the report [is](HealReport::is_exact) without a
    /// border, else as approximate.
    ///
    /// `old` is the network from before the surgery. What was replaced follows
    /// from the layers that both have: they stay the same through
    /// edits, or have the same names. Each network preprocesses the images as
    /// it needs them.
    ///
    /// What is learned from few images may hold for these alone: by default the
    /// report is measured on the images learned from. Give others with
    /// [`Healing::measured_on`].
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Conv2d, Healing, Image, Preprocessing, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?.truncate("block2_pool")?;
    /// let graph = graph.with_preprocessing(Preprocessing::torchvision().with_size(32, 32));
    /// let model = graph.build(&Device::Cpu)?;
    /// let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    /// let mut lighter = model.edit(|g| g.replace("block1_conv1"..="block1_conv2", conv))?;
    ///
    /// let bytes: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * i % 251) as u8).collect();
    /// let images = vec![Image::from_rgb8(64, 64, bytes)?];
    /// let report = lighter.heal_with("new_conv", &model, &images, &Healing::least_squares())?;
    /// assert!(report.after[0].r2 > report.before[0].r2);
    /// println!("{report}");
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`](crate::Graph::node); [`Error::WrongKind`]
    /// unless it is a convolution; [`Error::Healing`] with the reason if it can't
    /// be healed; [`ImageError::EmptyBatch`](crate::error::ImageError::EmptyBatch)
    /// without images; [`Error::Unsupported`] if either network has no
    /// preprocessing; the errors
    /// of the preprocessing and of [`Model::forward`]. After an error the model is
    /// unchanged.
    pub fn heal(
        &mut self,
        layer: impl NodeRef,
        old: &Model,
        images: &[Image],
    ) -> Result<HealReport> {
        self.heal_with(layer, old, images, &Healing::auto())
    }

    /// As [`Model::heal`], by a method of choice. Layers that
    /// [adapt](Healing::adapting) change too.
    ///
    /// # Errors
    /// As [`Model::heal`].
    pub fn heal_with(
        &mut self,
        layer: impl NodeRef,
        old: &Model,
        images: &[Image],
        healing: &Healing,
    ) -> Result<HealReport> {
        let report = self.healed(&layer, old, images, healing)?;
        self.note_learning(report.call(), report.learned(), report.contract());
        Ok(report)
    }

    fn healed(
        &self,
        layer: &(impl NodeRef + ?Sized),
        old: &Model,
        images: &[Image],
        healing: &Healing,
    ) -> Result<HealReport> {
        healing.check()?;
        let seam = Seam::find(self, layer, old, healing.toward.as_deref())?;
        let progress = Progress::new(healing.on_step.as_ref(), seam.node.name());
        let preprocessing = Each {
            new: self.graph().input_preprocessing()?,
            old: old.graph().input_preprocessing()?,
        };
        let measured = healing.measured.as_deref().unwrap_or(images);
        let exam = Lessons::new(measured, preprocessing.clone(), healing.seed)?;
        let lessons = Lessons::new(images, preprocessing, healing.seed)?;
        seam.check_size(&exam.whole(0)?)?;
        let adapting = adapting(&seam, &healing.adapting)?;
        let session = Session {
            lessons,
            exam,
            ends: ends_from(&seam),
            changed: std::iter::once(seam.node.id())
                .chain(adapting.iter().copied())
                .collect(),
            healing,
            adapting,
            progress,
            seam,
        };
        let kept = session.keep()?;
        let report = session.run();
        if report.is_err() {
            session.put_back(&kept)?;
        }
        let mut report = report?;
        report.seconds = session.progress.seconds();
        report.stopped = session.progress.is_stopped();
        Ok(report)
    }
}

/// The ends of blocks that depend on the layer, its own first.
fn ends_from(seam: &Seam<'_>) -> Vec<End> {
    let graph = seam.new.graph();
    let following = graph.followers(seam.node.id());
    let own = End {
        layer: seam.node.name().to_string(),
        new: Pick::whole(seam.node.id()),
        old: seam.target,
    };
    let later = ends(graph, seam.old.graph()).into_iter();
    let later = later.filter(|end| following.contains(&end.new.id));
    std::iter::once(own).chain(later).collect()
}

/// The least R2 of an exact composition. Below, the networks differ before the
/// layer already.
const FOUND: f64 = 0.999;

struct Session<'a> {
    seam: Seam<'a>,
    lessons: Lessons<'a>,
    /// The images to measure on.
    exam: Lessons<'a>,
    healing: &'a Healing,
    progress: Progress<'a>,
    ends: Vec<End>,
    adapting: Vec<NodeId>,
    /// The layers whose variables may change.
    changed: Vec<NodeId>,
}

type Kept = Vec<(Var, Tensor)>;

impl Session<'_> {
    fn run(&self) -> Result<HealReport> {
        let before = self.measure()?;
        let mut report = HealReport {
            layer: self.seam.node.name().to_string(),
            method: self.healing.method,
            is_exact: false,
            border: (0, 0),
            adapted: Vec::new(),
            after: before.clone(),
            before,
            held_out: self.healing.measured.as_ref().map(|images| images.len()),
            steps: 0,
            stopped: false,
            seconds: 0.0,
        };
        if self.progress.is_stopped() {
            return Ok(report);
        }
        match self.healing.method {
            HealingMethod::Compose => self.compose(&mut report)?,
            HealingMethod::LeastSquares => {
                self.fit()?;
            }
            HealingMethod::Distill => {
                let fitted = !self.healing.from_current && self.fit_if_possible()?;
                self.distill(&mut report)?;
                if fitted && report.steps == 0 {
                    report.method = HealingMethod::LeastSquares;
                }
            }
            HealingMethod::Auto => return self.best(report),
        }
        report.after = self.measure()?;
        Ok(report)
    }

    fn compose(&self, report: &mut HealReport) -> Result<()> {
        let border = compose(&self.seam)?;
        report.is_exact = border.is_some();
        report.border = border.unwrap_or_default();
        Ok(())
    }

    fn fit(&self) -> Result<bool> {
        least_squares::fit(
            &self.seam,
            &self.lessons,
            self.healing.ridge,
            &self.progress,
        )
    }

    /// Whether there is a closed form, and it was found.
    fn fit_if_possible(&self) -> Result<bool> {
        match self.fit() {
            Err(Error::Healing(HealingError::NotFittable { .. })) => Ok(false),
            other => other,
        }
    }

    fn distill(&self, report: &mut HealReport) -> Result<()> {
        if self.progress.is_stopped() {
            return Ok(());
        }
        let how = (self.healing, self.adapting.as_slice(), self.ends.as_slice());
        let Steps { output, features } = distill(&self.seam, &self.lessons, how, &self.progress)?;
        report.steps = output + features;
        if features > 0 {
            report.adapted = self.seam.new.graph().names(&self.adapting);
        }
        Ok(())
    }

    /// Tries each method that is possible, and keeps the result nearest to the
    /// old network at the end.
    fn best(&self, start: HealReport) -> Result<HealReport> {
        let current = self.keep()?;
        let mut tried: Vec<(HealReport, Kept)> = Vec::new();
        let ended = |method, mut report: HealReport| -> Result<(HealReport, Kept)> {
            report.method = method;
            report.after = self.measure()?;
            Ok((report, self.keep()?))
        };
        let mut composed = start.clone();
        match self.compose(&mut composed) {
            Ok(()) => {
                let (composed, kept) = ended(HealingMethod::Compose, composed)?;
                let found = composed.after.first().is_some_and(|own| own.r2 >= FOUND);
                if composed.contract() == Contract::Exact && found {
                    return Ok(composed);
                }
                tried.push((composed, kept));
            }
            Err(Error::Healing(HealingError::NotComposable { .. })) => {}
            Err(error) => return Err(error),
        }
        if !self.progress.is_stopped() && self.fit_if_possible()? {
            tried.push(ended(HealingMethod::LeastSquares, start.clone())?);
        }
        if self.healing.from_current {
            self.put_back(&current)?;
        }
        if !self.progress.is_stopped() {
            let mut distilled = start.clone();
            self.distill(&mut distilled)?;
            tried.push(ended(HealingMethod::Distill, distilled)?);
        }
        let last = |report: &HealReport| {
            let r2 = report.after.last().map(|block| block.r2);
            r2.filter(|r2| !r2.is_nan()).unwrap_or(f64::NEG_INFINITY)
        };
        let best = tried
            .into_iter()
            .reduce(|best, other| match last(&other.0) > last(&best.0) {
                true => other,
                false => best,
            });
        // It may have been stopped before the first method was done.
        let (report, kept) = best.unwrap_or((start, current));
        self.put_back(&kept)?;
        Ok(report)
    }

    fn measure(&self) -> Result<Vec<LayerCheck>> {
        let images = (&self.exam, &self.progress);
        measure(self.seam.new, self.seam.old, &self.ends, images)
    }

    fn keep(&self) -> Result<Kept> {
        let variables = self.seam.new.variables();
        let changed = variables.filter(|found| self.changed.contains(&found.node.id()));
        changed
            .map(|found| Ok((found.variable.clone(), found.variable.copy()?.detach())))
            .collect()
    }

    fn put_back(&self, kept: &Kept) -> Result<()> {
        for (variable, values) in kept {
            variable.set(values)?;
        }
        Ok(())
    }
}
