use candle_core::{Tensor, Var};
use rand::Rng;

use crate::error::{Error, Result, require};
use crate::explain::check::{MEMORY_LIMIT, check_map, check_positive};
use crate::explain::numbers::{gradient, number};
use crate::explain::space::{Space, move_by};
use crate::graph::NodeRef;
use crate::layers::UpsampleMode;
use crate::model::Model;
use crate::ops::{upsample, wide};
use crate::preprocess::{Image, ResizeFilter};
use crate::random::stream;

const MOST_OCTAVES: usize = 1024;

/// DeepDream: changes an image until a layer responds more strongly to it,
/// first in a small copy, then in larger ones. Source: Mordvintsev et al.,
/// "Inceptionism", 2015, and the authors' notebook. The result depends on the
/// seed alone.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::Dream;
/// use vgg_surgery::{Image, Preprocessing, Vgg16};
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
    memory_limit: u64,
}

impl Default for Dream {
    fn default() -> Self {
        Self::new()
    }
}

impl Dream {
    /// The notebook's settings: 4 octaves, each 1.4 times the size of the
    /// previous one; 10 steps of 1.5 of 255 levels in each; shifts of up to 32
    /// pixels.
    pub const fn new() -> Self {
        Self {
            octaves: 4,
            octave_scale: 1.4,
            steps: 10,
            step_size: 1.5 / 255.0,
            jitter: 32,
            seed: 0,
            memory_limit: MEMORY_LIMIT,
        }
    }

    /// Sets the number of octaves, which are sizes of the image.
    pub const fn octaves(mut self, octaves: usize) -> Self {
        self.octaves = octaves;
        self
    }

    /// Sets the size of each octave relative to the previous one.
    pub const fn octave_scale(mut self, scale: f64) -> Self {
        self.octave_scale = scale;
        self
    }

    /// Sets the number of steps in each octave.
    pub const fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the mean change of a value in a step, as a fraction of the range
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

    /// Sets the most memory, in bytes, that the network's values may take; by
    /// default 8 GB. A larger image is refused before anything is computed.
    pub const fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Changes an image until a layer responds more strongly, and keeps its size.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`](crate::error::ExplainError::NoMap),
    /// [`ImageError::NetworkMemory`](crate::error::ImageError::NetworkMemory) for an image
    /// too large, [`Error::InvalidSetting`];
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no
    /// preprocessing; [`Error::InputShape`](crate::Error::InputShape) if its
    /// input size is fixed; the errors of
    /// [`Graph::node`](crate::Graph::node) and [`Model::forward`].
    pub fn run(&self, model: &Model, layer: impl NodeRef, image: &Image) -> Result<Image> {
        self.check()?;
        check_map(model, &layer)?;
        let nodes = [model.graph().node(&layer)?.id()];
        model.check_memory_of(&nodes, image.size(), self.memory_limit)?;
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
                let turn = octave.wrapping_mul(self.steps).wrapping_add(step) as u64;
                let shifted = self.shifted(&x, turn)?;
                let response = wide(&model.forward_to(&layer, &shifted)?)?;
                self.climb(&x, &response, &space)?;
            }
            detail = Some((x.as_detached_tensor() - &base)?);
            if octave + 1 == self.octaves {
                return space.image(&x);
            }
        }
        Ok(image.clone())
    }

    /// A random shift. Pixels that leave on one side return on the other.
    fn shifted(&self, x: &Tensor, turn: u64) -> Result<Tensor> {
        let mut rng = stream(self.seed, turn);
        let jitter = i64::try_from(self.jitter).unwrap_or(i64::MAX / 2);
        let mut draw = || rng.random_range(-jitter..=jitter) as i32;
        let (down, right) = (draw(), draw());
        Ok(x.roll(down, 2)?.roll(right, 3)?)
    }

    /// A step that increases the mean square of the response.
    fn climb(&self, x: &Var, response: &Tensor, space: &Space) -> Result<()> {
        let squares = response.sqr()?;
        let size = number(&squares.mean_all()?)?.sqrt();
        if size.is_nan() || size == 0.0 {
            return Ok(());
        }
        // The step does not depend on the scale of the response. At this scale
        // the gradients at the layer are about 1, which half precision rounds
        // neither to 0 nor to infinity.
        let slope = gradient(&(squares.sum_all()? * (0.5 / size))?, x)?;
        let size = number(&slope.abs()?.mean_all()?)?;
        if size > 0.0 {
            move_by(x, &(slope * (self.step_size * space.range / size))?)?;
            x.set(&space.clip(&x.as_detached_tensor())?)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Error::at_least_one("octaves", self.octaves)?;
        require(
            self.octaves <= MOST_OCTAVES,
            format_args!("octaves {}", self.octaves),
            "must be at most 1024",
        )?;
        require(
            self.octave_scale.is_finite() && self.octave_scale >= 1.0,
            format_args!("octave_scale {}", self.octave_scale),
            "must be at least 1",
        )?;
        check_positive("step_size", self.step_size)?;
        require(
            self.jitter <= 1 << 20,
            format_args!("jitter {}", self.jitter),
            "must be at most 2^20 pixels",
        )
    }
}
