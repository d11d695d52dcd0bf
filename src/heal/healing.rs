use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::graph::Select;
use crate::preprocess::Image;
use crate::train::ControlFlow;

use super::progress::{HealEvent, OnStep, printer};

const MOST_CROPS: usize = 4096;
const MOST_SECONDS: f64 = 1e9;

/// How a layer is healed; see [`Model::heal_with`](crate::Model::heal_with).
///
/// ```
/// use vgg_surgery::Healing;
///
/// let closed_form = Healing::least_squares();
/// let thorough = Healing::distill().adapting_next().seconds(60.0).seed(7);
/// let chosen = Healing::auto().adapting(["block2_conv1", "block2_conv2"]);
/// ```
#[derive(Clone)]
#[must_use]
pub struct Healing {
    pub(super) method: HealingMethod,
    pub(super) adapting: Adapting,
    pub(super) toward: Option<String>,
    pub(super) output_steps: usize,
    pub(super) feature_steps: usize,
    pub(super) crops: usize,
    pub(super) seconds: Option<f64>,
    pub(super) seed: u64,
    pub(super) ridge: Option<f64>,
    pub(super) from_current: bool,
    pub(super) measured: Option<Arc<[Image]>>,
    pub(super) on_step: Option<OnStep>,
}

/// What a layer is healed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealingMethod {
    /// The product of the filters that it replaces.
    Compose,
    /// The filters of least squared error, in closed form.
    LeastSquares,
    /// Gradient descent on the old network's values.
    Distill,
    /// The best of these, in turn.
    Auto,
}

impl fmt::Display for HealingMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compose => "composition",
            Self::LeastSquares => "least squares",
            Self::Distill => "distillation",
            Self::Auto => "the best method",
        })
    }
}

/// Which following layers learn too.
#[derive(Clone)]
pub(super) enum Adapting {
    None,
    Next,
    Layers(Arc<dyn Select + Send + Sync>),
}

impl Healing {
    fn by(method: HealingMethod) -> Self {
        Self {
            method,
            adapting: Adapting::None,
            toward: None,
            output_steps: 300,
            feature_steps: 100,
            crops: 3,
            seconds: None,
            seed: 0,
            ridge: None,
            from_current: false,
            measured: None,
            on_step: None,
        }
    }

    /// The product of the filters that the layer replaces, biases and batch
    /// norms included; images are only measured on. Where no activation
    /// stood between them and only the first of them was padded, the function
    /// stays as it was up to rounding; behind padded ones it differs at the
    /// border, and activations are left out.
    pub fn compose() -> Self {
        Self::by(HealingMethod::Compose)
    }

    /// The filters whose output has the least squared error on the images, by the
    /// normal equations of ridge regression, summed in f64 over the images. For a
    /// layer with a ReLU, the error after the ReLU is minimized, in a few passes
    /// over the images. Without a [ridge](Healing::ridge), the images must have at
    /// least two positions for each unknown of a filter. With fewer, the filter
    /// would fit these images only.
    pub fn least_squares() -> Self {
        Self::by(HealingMethod::LeastSquares)
    }

    /// [`Healing::least_squares`] first (where it can be), then Adam (Kingma
    /// and Ba 2014) at 3e-3 on the replaced layers' output, then at 1e-3 on
    /// that output and the output two blocks later, each error divided by its
    /// variance. Both times the rate falls to 0 along a cosine. All other layers
    /// are frozen. Every step takes new crops, of 0.4 to 1 of an image's short
    /// side, flipped or not. Three in ten crops have red, green and blue in
    /// random order, and show the layer colors that the images do not have. The
    /// second part does so only if other layers are [adapted](Healing::adapting).
    pub fn distill() -> Self {
        Self::by(HealingMethod::Distill)
    }

    /// The best of the others, in turn: the composition if it is exact, or
    /// else whichever of composition, least squares and distillation comes
    /// nearest to the old network on the images measured on, at the end of the last
    /// block.
    pub fn auto() -> Self {
        Self::by(HealingMethod::Auto)
    }

    /// Lets layers that follow learn too while features are distilled, at a
    /// rate of 1e-4: they adapt to what the new layer can't give. Layers without
    /// parameters are skipped.
    pub fn adapting(mut self, layers: impl Select + Send + Sync + 'static) -> Self {
        self.adapting = Adapting::Layers(Arc::new(layers));
        self
    }

    /// As [`Healing::adapting`], with the convolutions that come next.
    pub fn adapting_next(mut self) -> Self {
        self.adapting = Adapting::Next;
        self
    }

    /// Names the layer of the old network whose value the new one should give,
    /// where this does not follow from the layers around. `"name:pre"` is its value before
    /// the activation.
    pub fn toward(mut self, layer: impl Into<String>) -> Self {
        self.toward = Some(layer.into());
        self
    }

    /// Sets the number of steps on the output and on later features; by
    /// default 300 and 100. 0 leaves that part out.
    pub fn steps(mut self, output: usize, features: usize) -> Self {
        (self.output_steps, self.feature_steps) = (output, features);
        self
    }

    /// Leaves the steps on later features out.
    pub fn only_output(mut self) -> Self {
        self.feature_steps = 0;
        self
    }

    /// Leaves the steps on the output out.
    pub fn only_features(mut self) -> Self {
        self.output_steps = 0;
        self
    }

    /// Takes as many steps as fit into this many seconds instead, a third of the
    /// time for those on the output if there are others. Closed forms and
    /// measuring come on top. The result then depends on the machine.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Sets the number of crops that a step takes, up to 4096; by default 3.
    pub fn crops(mut self, crops: usize) -> Self {
        self.crops = crops;
        self
    }

    /// Sets the seed of the crops; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets what least squares adds to each value on the diagonal of its
    /// equations, as a fraction of it; by default 1e-8.
    pub fn ridge(mut self, ridge: f64) -> Self {
        self.ridge = Some(ridge);
        self
    }

    /// Distills from the layer's current parameters, instead of the result of
    /// least squares.
    pub fn from_current(mut self) -> Self {
        self.from_current = true;
        self
    }

    /// Measures on these images instead of those learned from: the report then
    /// describes images that the layer has not seen, and [`Healing::auto`]
    /// chooses by them.
    pub fn measured_on(mut self, images: impl Into<Vec<Image>>) -> Self {
        self.measured = Some(images.into().into());
        self
    }

    /// Prints to standard output what is being done: a line each second, and one
    /// at the end of each gradient descent.
    pub fn print_progress(mut self) -> Self {
        self.on_step = Some(printer());
        self
    }

    /// Calls a function after each step: each image measured on, each image of
    /// least squares, each step of gradient descent. The type of its argument has
    /// to be written. It replaces [`Healing::print_progress`].
    ///
    /// [`ControlFlow::Stop`] ends the healing and keeps what was learned so far:
    /// the methods not yet begun are left out, and what there is is measured. The
    /// function is not called again. An error ends the healing too. It is
    /// returned, and the model is unchanged;
    /// [`Error::other`](crate::Error::other) takes errors of other types.
    ///
    /// ```
    /// use vgg_surgery::heal::HealEvent;
    /// use vgg_surgery::train::ControlFlow;
    /// use vgg_surgery::Healing;
    ///
    /// let healing = Healing::distill().on_step(|event: &HealEvent| {
    ///     println!("{}: {:.0} %", event.phase, 100.0 * event.fraction);
    ///     let is_good = event.loss.is_some_and(|loss| loss < 0.01);
    ///     Ok(if is_good { ControlFlow::Stop } else { ControlFlow::Continue })
    /// });
    /// # let _ = healing;
    /// ```
    pub fn on_step(
        mut self,
        call: impl Fn(&HealEvent) -> Result<ControlFlow> + Send + Sync + 'static,
    ) -> Self {
        self.on_step = Some(Arc::new(call));
        self
    }

    pub(super) fn learns(&self) -> bool {
        matches!(self.method, HealingMethod::Distill | HealingMethod::Auto)
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |setting: String, reason| Err(Error::setting(setting, reason));
        if !(1..=MOST_CROPS).contains(&self.crops) {
            let setting = format!("{} crops a step", self.crops);
            return refuse(setting, "must be from 1 to 4096");
        }
        if let Some(ridge) = self.ridge
            && !(ridge.is_finite() && ridge >= 0.0)
        {
            let setting = format!("a ridge of {ridge}");
            return refuse(setting, "must be finite and at least 0");
        }
        if let Some(seconds) = self.seconds
            && !(seconds > 0.0 && seconds <= MOST_SECONDS)
        {
            let setting = format!("{seconds} seconds");
            return refuse(setting, "must be above 0 and at most 1e9");
        }
        if !self.learns() && !matches!(self.adapting, Adapting::None) {
            return refuse(
                format!("adapting layers by {}", self.method),
                "can't be; use Healing::distill() or Healing::auto()",
            );
        }
        Ok(())
    }
}

/// [`Healing::auto`].
impl Default for Healing {
    fn default() -> Self {
        Self::auto()
    }
}

impl fmt::Debug for Healing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Healing")
            .field("method", &self.method)
            .field("steps", &(self.output_steps, self.feature_steps))
            .field("seconds", &self.seconds)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
