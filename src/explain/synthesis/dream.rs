use candle_core::{DType, Tensor, Var};
use rand::Rng;

use crate::error::{Error, Result};
use crate::explain::check::check_map;
use crate::explain::numbers::{gradient, wide};
use crate::explain::space::{Space, move_by};
use crate::graph::NodeRef;
use crate::layer::UpsampleMode;
use crate::model::Model;
use crate::ops::upsample;
use crate::preprocess::{Image, ResizeFilter};
use crate::random::stream;

const MOST_OCTAVES: usize = 1024;

/// Lets a network dream on an image: what a layer sees in it is made
/// stronger, first in a small copy, then in larger ones. Source: Mordvintsev
/// et al., "Inceptionism", 2015, and the authors' notebook. The same seed
/// gives the same dream.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::{Dream, Image, Preprocessing, Vgg16};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?;
/// let model = graph.with_preprocessing(Preprocessing::caffe()).build(&Device::Cpu)?;
/// let image = Image::from_rgb8(48, 40, vec![128; 48 * 40 * 3])?;
/// let dreamt = Dream::new().octaves(2).steps(1).run(&model, "block2_conv2", &image)?;
/// assert_eq!((dreamt.width(), dreamt.height()), (48, 40));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Dream {
    octaves: usize,
    octave_scale: f64,
    steps: usize,
    step_size: f64,
    jitter: usize,
    seed: u64,
}

impl Default for Dream {
    fn default() -> Self {
        Self::new()
    }
}

impl Dream {
    /// The notebook's settings: 4 octaves, each 1.4 times the size of the one
    /// before, 10 steps of 1.5 of 255 levels in each, shifts of up to 32
    /// pixels.
    pub const fn new() -> Self {
        Self {
            octaves: 4,
            octave_scale: 1.4,
            steps: 10,
            step_size: 1.5 / 255.0,
            jitter: 32,
            seed: 0,
        }
    }

    /// Sets the number of sizes.
    pub const fn octaves(mut self, octaves: usize) -> Self {
        self.octaves = octaves;
        self
    }

    /// Sets how many times as large each size is as the one before.
    pub const fn octave_scale(mut self, scale: f64) -> Self {
        self.octave_scale = scale;
        self
    }

    /// Sets the number of steps at each size.
    pub const fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets how far values move in a step on average, as a fraction of the range
    /// from black to white.
    pub const fn step_size(mut self, step_size: f64) -> Self {
        self.step_size = step_size;
        self
    }

    /// Sets the largest shift, in pixels.
    pub const fn jitter(mut self, jitter: usize) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the seed of the shifts.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Dreams of what a layer sees in an image, at its size.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`](crate::ExplainError::NoMap),
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting);
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no
    /// preprocessing; [`Error::InputShape`](crate::Error::InputShape) if its
    /// input has a set size; those of the layer's name and of
    /// [`Model::forward`].
    pub fn run(&self, model: &Model, layer: impl NodeRef, image: &Image) -> Result<Image> {
        self.check()?;
        check_map(model, &layer)?;
        let space = Space::of(model)?;
        let mut detail: Option<Tensor> = None;
        for octave in 0..self.octaves {
            // At most `MOST_OCTAVES`.
            let shrunk = self.octave_scale.powi((self.octaves - 1 - octave) as i32);
            let side = |side: usize| ((side as f64 / shrunk).round() as usize).max(1);
            let (height, width) = (side(image.height()), side(image.width()));
            let base = space.input(&image.resize(width, height, ResizeFilter::Bicubic)?)?;
            let start = match &detail {
                None => base.clone(),
                Some(detail) => {
                    let detail = upsample(detail, (height, width), UpsampleMode::Bilinear)?;
                    (&base + detail)?
                }
            };
            let x = Var::from_tensor(&start)?;
            for step in 0..self.steps {
                self.step(
                    model,
                    &layer,
                    &space,
                    &x,
                    octave.wrapping_mul(self.steps).wrapping_add(step) as u64,
                )?;
            }
            detail = Some((x.as_detached_tensor() - &base)?);
            if octave + 1 == self.octaves {
                return space.image(&x);
            }
        }
        Ok(image.clone())
    }

    /// Climbs the mean square of the layer's values.
    fn step(
        &self,
        model: &Model,
        layer: &impl NodeRef,
        space: &Space,
        x: &Var,
        turn: u64,
    ) -> Result<()> {
        let mut rng = stream(self.seed, turn);
        let jitter = i64::try_from(self.jitter).unwrap_or(i64::MAX / 2);
        let mut draw = || rng.random_range(-jitter..=jitter) as i32;
        let (down, right) = (draw(), draw());
        let shifted = x.roll(down, 2)?.roll(right, 3)?;
        let squares = wide(&model.forward_to(layer, &shifted)?)?.sqr()?;
        let mean = squares.mean_all()?.to_dtype(DType::F64)?;
        let size = mean.to_scalar::<f64>()?.sqrt();
        if size.is_nan() || size == 0.0 {
            return Ok(());
        }
        // A step is as long at any scale of the response. At this one the
        // slopes of the layer's values are about 1, which half precision
        // neither rounds to 0 nor to infinity.
        let slope = gradient(&(squares.sum_all()? * (0.5 / size))?, x)?;
        let size = slope.abs()?.mean_all()?.to_dtype(DType::F64)?;
        let size = size.to_scalar::<f64>()?;
        if size > 0.0 {
            move_by(x, &(slope * (self.step_size * space.range / size))?)?;
            x.set(&space.clip(&x.as_detached_tensor())?)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Error::at_least_one("octaves", self.octaves)?;
        if self.octaves > MOST_OCTAVES {
            return Err(Error::setting(
                format!("octaves {}", self.octaves),
                "must be at most 1024 sizes",
            ));
        }
        if !(self.octave_scale.is_finite() && self.octave_scale >= 1.0) {
            return Err(Error::setting(
                format!("octave_scale {}", self.octave_scale),
                "must be from 1 on",
            ));
        }
        if !(self.step_size.is_finite() && self.step_size > 0.0) {
            return Err(Error::setting(
                format!("step_size {}", self.step_size),
                "must be above 0",
            ));
        }
        if self.jitter > 1 << 20 {
            return Err(Error::setting(
                format!("jitter {}", self.jitter),
                "must be at most 2^20 pixels",
            ));
        }
        Ok(())
    }
}
