use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::graph::Select;
use crate::model::Model;
use crate::preprocess::Image;

/// How a network is made faster; see
/// [`Model::accelerate`](crate::Model::accelerate).
///
/// ```
/// use vgg_surgery::accelerate::Acceleration;
///
/// let quick = Acceleration::speedup(2.0).seconds(20.0);
/// let phone = Acceleration::milliseconds(20.0).batch(1).keeping("block1_conv1");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Acceleration {
    pub(super) budget: Budget,
    pub(super) seconds: f64,
    pub(super) keeping: Option<Arc<dyn Select + Send + Sync>>,
    pub(super) preserving: Option<Arc<dyn Select + Send + Sync>>,
    pub(super) batch: usize,
    pub(super) seed: u64,
    pub(super) measured: Option<Arc<[Image]>>,
    pub(super) half_dense: bool,
    pub(super) steps: usize,
    pub(super) fine_tuning: Option<FineTuning>,
}

pub(super) type FineTuning = Arc<dyn Fn(&mut Model) -> Result<()> + Send + Sync>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Budget {
    Speedup(f64),
    Milliseconds(f64),
    Macs(f64),
    Parameters(f64),
    R2(f64),
    /// Layers, and how many channels each keeps.
    Channels(Arc<[(String, usize)]>),
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Speedup(factor) => write!(f, "a speed-up of {factor}"),
            Self::Milliseconds(time) => write!(f, "{time} ms"),
            Self::Macs(factor) => write!(f, "{factor} times fewer multiplications"),
            Self::Parameters(factor) => write!(f, "{factor} times fewer parameters"),
            Self::R2(r2) => write!(f, "an R2 of {r2}"),
            Self::Channels(layers) => {
                let each = layers.iter();
                let each: Vec<String> = each
                    .map(|(layer, count)| format!("{count} channels of \"{layer}\""))
                    .collect();
                f.write_str(&each.join(", "))
            }
        }
    }
}

impl Budget {
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::Speedup(_) | Self::Milliseconds(_) | Self::R2(_))
    }

    pub(super) fn check(&self) -> Result<()> {
        let (number, is_legal, reason) = match *self {
            Self::Speedup(x) | Self::Macs(x) | Self::Parameters(x) => {
                (x, (1.0..=1e6).contains(&x), "must be from 1 to 1e6")
            }
            Self::Milliseconds(x) => (x, x > 0.0 && x <= 1e9, "must be above 0, at most 1e9"),
            Self::R2(x) => (x, x > 0.0 && x < 1.0, "must be above 0 and below 1"),
            // The layers know how many channels they have.
            Self::Channels(_) => return Ok(()),
        };
        match is_legal {
            true => Ok(()),
            false => Err(Error::setting(format!("a budget of {number}"), reason)),
        }
    }
}

/// Crops of the calibration, and positions that are used of each.
const MOST_CROPS: f64 = 64.0;
const LEAST_CROPS: f64 = 16.0;
const LEAST_CROPS_OF_GAINS: usize = 8;
const POSITIONS: usize = 196;

/// Pixels of a crop of the usual size, and how many times as many smaller crops
/// there are at most.
const PIXELS: f64 = 224.0 * 224.0;
const MOST_SMALLER: f64 = 16.0;

/// Operations of an ordinary machine in a second, and the fraction of the seconds
/// that the removal of channels may take.
const RATE: f64 = 1e11;
const SHARE: f64 = 0.4;

/// Seconds from which on the calibration uses all crops.
const THOROUGH: f64 = 60.0;

impl Acceleration {
    fn to(budget: Budget) -> Self {
        Self {
            budget,
            seconds: 120.0,
            keeping: None,
            preserving: None,
            batch: 1,
            seed: 0,
            measured: None,
            half_dense: true,
            steps: 0,
            fine_tuning: None,
        }
    }

    /// A network that is this many times as fast, at least 1, measured on this
    /// machine.
    pub fn speedup(factor: f64) -> Self {
        Self::to(Budget::Speedup(factor))
    }

    /// A network whose forward pass takes at most this many milliseconds on this
    /// machine.
    pub fn milliseconds(milliseconds: f64) -> Self {
        Self::to(Budget::Milliseconds(milliseconds))
    }

    /// A network with this many times fewer multiplications. The result does
    /// not depend on the machine's speed.
    pub fn macs(factor: f64) -> Self {
        Self::to(Budget::Macs(factor))
    }

    /// A network with this many times fewer parameters. The result does not
    /// depend on the machine's speed.
    pub fn parameters(factor: f64) -> Self {
        Self::to(Budget::Parameters(factor))
    }

    /// The fastest network whose outputs still have this R2, above 0 and below 1,
    /// against the old ones on the images that are
    /// [measured on](Acceleration::measured_on).
    pub fn r2(r2: f64) -> Self {
        Self::to(Budget::R2(r2))
    }

    /// A network in which these layers have these numbers of channels, and all
    /// others as many as before. Only the layers that read them are fitted again.
    ///
    /// ```
    /// use vgg_surgery::accelerate::Acceleration;
    ///
    /// let narrower = Acceleration::channels([("block4_conv1", 256), ("block4_conv2", 320)]);
    /// ```
    pub fn channels<N: Into<String>>(layers: impl IntoIterator<Item = (N, usize)>) -> Self {
        let layers = layers.into_iter();
        let layers = layers.map(|(layer, count)| (layer.into(), count));
        Self::to(Budget::Channels(layers.collect()))
    }

    /// Sets about how many seconds are spent; by default 120. With fewer than 60,
    /// fewer crops and positions are used, and the channels of a large network are chosen in a
    /// simpler way (He et al. 2017). The result depends on this number alone, not
    /// on the time that it takes.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Names layers that keep all their channels.
    pub fn keeping(mut self, layers: impl Select + Send + Sync + 'static) -> Self {
        self.keeping = Some(Arc::new(layers));
        self
    }

    /// Names layers whose values count as much as each output of the network; by
    /// default the outputs alone do. They lose channels all the same, unless they
    /// are [kept](Acceleration::keeping).
    pub fn preserving(mut self, layers: impl Select + Send + Sync + 'static) -> Self {
        self.preserving = Some(Arc::new(layers));
        self
    }

    /// Sets the number of images in a batch that the network is to be fast for; by
    /// default 1.
    pub fn batch(mut self, images: usize) -> Self {
        self.batch = images;
        self
    }

    /// Sets the seed of the crops; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Measures on these images instead of those learned from: the report then
    /// describes images that the network has not seen.
    pub fn measured_on(mut self, images: impl Into<Vec<Image>>) -> Self {
        self.measured = Some(images.into().into());
        self
    }

    /// Leaves dense layers unchanged. By default, under a budget of time or R2,
    /// dense layers of more than a million parameters are frozen, and all dense
    /// layers are rounded to f16: at small batches they take as long as their weights
    /// take to be read.
    pub fn exact_dense(mut self) -> Self {
        self.half_dense = false;
        self
    }

    /// Adds steps of gradient descent, as [`Healing::distill`](crate::Healing::distill)
    /// takes them, on the ends of all blocks, after the closed form; by default
    /// none. Their result is kept only if it is nearer to the old network on crops
    /// that were not learned from.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Trains the network at the end, for example on labels; the report then
    /// describes the trained network.
    ///
    /// ```no_run
    /// use vgg_surgery::accelerate::Acceleration;
    /// use vgg_surgery::data::{Motif, ProceduralDataset};
    /// use vgg_surgery::{AdamW, Trainer};
    ///
    /// let data = ProceduralDataset::new(Motif::trained_on(), 40)?;
    /// let twice = Acceleration::speedup(2.0).fine_tune(move |model| {
    ///     model.unfreeze("block4_conv1"..)?;
    ///     let mut trainer = Trainer::new(model).optimizer(AdamW::new(1e-4)).epochs(3);
    ///     trainer.fit_without_validation(&data).map(drop)
    /// });
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn fine_tune(
        mut self,
        train: impl Fn(&mut Model) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.fine_tuning = Some(Arc::new(train));
        self
    }

    pub(super) fn within(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Number of crops of the calibration, if each is as large as `x`: small ones
    /// have few positions in the last layers, so there are more of them.
    pub(super) fn crops(&self, x: &Tensor) -> Result<usize> {
        let part = (self.seconds / THOROUGH).min(1.0);
        let (_, _, height, width) = x.dims4()?;
        let smaller = PIXELS / (height * width).max(1) as f64;
        let crops = (MOST_CROPS * part).round().max(LEAST_CROPS);
        Ok((crops * smaller.min(MOST_SMALLER * part).max(1.0)) as usize)
    }

    /// Number of crops that show what an error costs at the outputs, of so many of
    /// the calibration.
    pub(super) fn crops_of_gains(&self, crops: usize) -> usize {
        (crops / 8).max(LEAST_CROPS_OF_GAINS)
    }

    /// Runs whose median is the time of a layer.
    pub(super) fn layer_runs(&self) -> usize {
        if self.seconds < THOROUGH { 1 } else { 3 }
    }

    /// Runs whose median is the time of a network.
    pub(super) fn runs(&self) -> usize {
        if self.seconds < THOROUGH { 3 } else { 9 }
    }

    /// Whether there is time to remove channels with all filters fitted again, where
    /// that takes this many operations.
    pub(super) fn has_time_for(&self, operations: f64) -> bool {
        operations / RATE <= self.seconds * SHARE
    }

    /// Number of positions of a feature map that are used of each crop.
    pub(super) fn positions(&self) -> usize {
        if self.seconds < THOROUGH {
            POSITIONS / 2
        } else {
            POSITIONS
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |setting: String, reason| Err(Error::setting(setting, reason));
        self.budget.check()?;
        if !(self.seconds > 0.0 && self.seconds <= 1e9) {
            return refuse(
                format!("{} seconds", self.seconds),
                "must be above 0 and at most 1e9",
            );
        }
        if !(1..=4096).contains(&self.batch) {
            return refuse(
                format!("a batch of {}", self.batch),
                "must be from 1 to 4096",
            );
        }
        Ok(())
    }
}

impl fmt::Debug for Acceleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceleration")
            .field("budget", &self.budget)
            .field("seconds", &self.seconds)
            .field("batch", &self.batch)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
