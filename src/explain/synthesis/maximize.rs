use candle_core::{DType, Tensor, Var};
use candle_nn::ops::sigmoid;
use rand::Rng;

use crate::error::{Error, ExplainError, Result, require};
use crate::explain::check::{MEMORY_LIMIT, check_map, check_not_negative, check_positive};
use crate::explain::display::Sheet;
use crate::explain::numbers::number;
use crate::explain::perceptual::total_variation;
use crate::explain::space::Space;
use crate::graph::{NodeRef, Part, Pick};
use crate::layers::UpsampleMode;
use crate::model::Model;
use crate::ops::{upsample, wide, wide_type};
use crate::optim::{Adam, Clip, OptimizerState, Update};
use crate::preprocess::{ChannelOrder, Image, Size};
use crate::random::{Stream, normal, stream};
use crate::shape::Shape;

/// The image is a sum of levels, each half the size of the previous one.
/// Coarse and fine shapes then change at the same rate, as in the frequency
/// basis of Olah et al.
const LEVELS: [&str; 5] = ["0", "1", "2", "3", "4"];

/// The correlation of colors in photographs: a square root of ImageNet's
/// covariance of red, green and blue, with its longest column scaled to 1.
/// Source: `color_correlation_svd_sqrt` in Lucid, the code of Olah et al.
const COLORS: [[f32; 3]; 3] = [
    [0.5628, 0.1948, 0.0433],
    [0.5845, 0.0, -0.1082],
    [0.5845, -0.1948, 0.0649],
];

/// Finds the image that a channel responds to most, by gradient ascent on the
/// channel's mean before its activation. The image is shifted and scaled at
/// random before each step. Source: Olah et al., "Feature Visualization",
/// 2017. The image depends on the seed alone.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::Maximization;
/// use vgg_surgery::{Preprocessing, Vgg16};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?;
/// let model = graph.with_preprocessing(Preprocessing::caffe()).build(&Device::Cpu)?;
/// let image = Maximization::new().size(32).steps(2).run(&model, "block2_conv1", 0)?;
/// assert_eq!(image.width(), 32);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Maximization {
    size: usize,
    steps: usize,
    learning_rate: f64,
    jitter: usize,
    scale: f64,
    variation_weight: f64,
    seed: u64,
    memory_limit: u64,
}

impl Default for Maximization {
    fn default() -> Self {
        Self::new()
    }
}

impl Maximization {
    /// 128 x 128 pixels, or the size of the model's input if it is fixed; 128
    /// steps of Adam at 0.05; shifts of up to 8 pixels, scales of up to 10 %, a
    /// little smoothing.
    pub const fn new() -> Self {
        Self {
            size: 128,
            steps: 128,
            learning_rate: 0.05,
            jitter: 8,
            scale: 0.1,
            variation_weight: 0.1,
            seed: 0,
            memory_limit: MEMORY_LIMIT,
        }
    }

    /// Sets height and width, in pixels, if the model's input size is open.
    pub const fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    /// Sets the number of steps.
    pub const fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets Adam's learning rate.
    pub const fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// Sets the largest shift, in pixels.
    pub const fn jitter(mut self, jitter: usize) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the largest change of scale, from 0 to 1/2.
    pub const fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the weight of the [`total_variation`] relative to the response. The
    /// response is divided by its standard deviation on noise.
    pub const fn variation_weight(mut self, weight: f64) -> Self {
        self.variation_weight = weight;
        self
    }

    /// Sets the seed.
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

    /// Computes the image for one channel of a layer.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`], [`ExplainError::ChannelOutOfRange`],
    /// [`ImageError::NetworkMemory`](crate::error::ImageError::NetworkMemory), [`Error::InvalidSetting`];
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no
    /// preprocessing; the errors of [`Graph::node`](crate::Graph::node) and
    /// [`Model::forward`].
    pub fn run(&self, model: &Model, layer: impl NodeRef, channel: usize) -> Result<Image> {
        self.check()?;
        check_map(model, &layer)?;
        let node = model.graph().node(&layer)?;
        let channels = node.shape().channels();
        if channel >= channels {
            return Err(ExplainError::ChannelOutOfRange {
                layer: node.name().to_string(),
                channel,
                channels,
            }
            .into());
        }
        let (height, width) = self.size_for(model);
        let size = Size { width, height };
        model.check_memory_of(&[node.id()], size, self.memory_limit)?;
        let canvas = Canvas::new(self, model)?;
        // A ReLU at 0 has no gradient to climb.
        let pick = Pick {
            id: node.id(),
            part: Part::Pre,
        };
        let map = |x: &Tensor| -> Result<Tensor> {
            let value = model.run(x, &[pick], false)?.remove(0);
            Ok(wide(&value.narrow(1, channel, 1)?)?)
        };
        let spread = deviation(&map(&canvas.noise(self.seed)?)?)?;
        let mut optimizer = OptimizerState::new(Adam::new(self.learning_rate));
        for step in 0..self.steps {
            let mut rng = stream(self.seed, step as u64 + 1);
            let image = canvas.image()?;
            let view = canvas.space.scaled(&canvas.view(&image, &mut rng)?)?;
            let smoothing = (total_variation(&image)? * self.variation_weight)?;
            let loss = (smoothing - (map(&view)?.mean_all()? / spread)?)?;
            let gradients = loss.backward()?;
            let updates = canvas
                .levels
                .iter()
                .zip(LEVELS)
                .filter_map(|(variable, name)| {
                    Some(Update {
                        name,
                        variable,
                        gradient: gradients.get(variable)?,
                        learning_rate: self.learning_rate,
                        decay: None,
                    })
                });
            optimizer.step(&updates.collect::<Vec<_>>(), Clip::None)?;
        }
        canvas.finished()
    }

    /// Computes images for several channels of a layer, side by side, in this
    /// order.
    ///
    /// # Errors
    /// As [`Maximization::run`] and [`Sheet::arrange`].
    pub fn sheet(
        &self,
        model: &Model,
        layer: impl NodeRef,
        channels: impl IntoIterator<Item = usize>,
        layout: &Sheet,
    ) -> Result<Image> {
        let images = channels.into_iter();
        let images = images.map(|channel| self.run(model, &layer, channel));
        layout.arrange(&images.collect::<Result<Vec<_>>>()?)
    }

    /// Height and width of the network's input.
    fn size_for(&self, model: &Model) -> (usize, usize) {
        match model.graph().input_shape() {
            Shape::Map { height, width, .. } => {
                (height.unwrap_or(self.size), width.unwrap_or(self.size))
            }
            Shape::Vector { .. } => (self.size, self.size),
        }
    }

    fn check(&self) -> Result<()> {
        Error::at_least_one("size", self.size)?;
        check_positive("learning_rate", self.learning_rate)?;
        require(
            (0.0..=0.5).contains(&self.scale),
            format_args!("scale {}", self.scale),
            "must be from 0 to 0.5",
        )?;
        check_not_negative("variation_weight", self.variation_weight)
    }
}

/// The standard deviation of a channel's values, or 1 if it is 0.
fn deviation(map: &Tensor) -> Result<f64> {
    let map = map.to_dtype(DType::F64)?;
    let mean = number(&map.mean_all()?)?;
    let variance = number(&(map - mean)?.sqr()?.mean_all()?)?;
    Ok(if variance > 0.0 { variance.sqrt() } else { 1.0 })
}

/// The image during the ascent, larger than the network's input.
struct Canvas {
    space: Space,
    /// From fine to coarse, each `(1, C, H, W)`, before the sigmoid.
    levels: Vec<Var>,
    /// Height and width of the network's input.
    size: (usize, usize),
    /// Height and width of the canvas.
    sides: (usize, usize),
    scale: f64,
    /// Turns levels into colors, `(1, C, C)`.
    colors: Tensor,
}

impl Canvas {
    fn new(options: &Maximization, model: &Model) -> Result<Self> {
        let space = Space::of(model)?;
        let size = options.size_for(model);
        let grown = |side: usize| {
            let scaled = (side as f64 * (1.0 + options.scale)).ceil() as usize;
            scaled.saturating_add(options.jitter.saturating_mul(2))
        };
        let sides = (grown(size.0), grown(size.1));
        let (height, width) = sides;
        if (Size { width, height })
            .pixels_within(options.memory_limit)
            .is_err()
        {
            return Err(Error::setting(
                format!(
                    "size {} x {} with jitter {}",
                    size.0, size.1, options.jitter
                ),
                "asks for more pixels than an image may have",
            ));
        }
        let channels = space.preprocessing.channels();
        let mut rng = stream(options.seed, 0);
        let levels = (0..LEVELS.len()).map(|level| {
            let (height, width) = (sides.0 >> level, sides.1 >> level);
            let dims = (1, channels, height.max(1), width.max(1));
            let noise = normal(&mut rng, channels * dims.2 * dims.3, 1.0);
            let noise = Tensor::from_vec(noise, dims, model.device())?;
            Ok(Var::from_tensor(
                &(noise.to_dtype(wide_type(model.dtype()))? * 0.1)?,
            )?)
        });
        Ok(Self {
            levels: levels.collect::<Result<_>>()?,
            colors: colors(model, space.preprocessing.channel_order())?,
            space,
            size,
            sides,
            scale: options.scale,
        })
    }

    fn noise(&self, seed: u64) -> Result<Tensor> {
        let (height, width) = self.size;
        let low = &self.space.low;
        let channels = self.space.preprocessing.channels();
        let noise = normal(&mut stream(seed, u64::MAX), channels * height * width, 1.0);
        let noise = Tensor::from_vec(noise, (1, channels, height, width), low.device())?;
        self.space.scaled(&sigmoid(&noise.to_dtype(low.dtype())?)?)
    }

    /// The whole canvas, with values from 0 to 1.
    fn image(&self) -> Result<Tensor> {
        let mut sum = self.levels[0].as_tensor().clone();
        for level in &self.levels[1..] {
            sum = (sum + upsample(level, self.sides, UpsampleMode::Bilinear)?)?;
        }
        let rows = sum.flatten_from(2)?.contiguous()?;
        let colored = self.colors.matmul(&rows)?.reshape(sum.shape())?;
        Ok(sigmoid(&colored)?)
    }

    /// A random part of the canvas, resized for the network.
    fn view(&self, image: &Tensor, rng: &mut Stream) -> Result<Tensor> {
        let factor = 1.0 + self.scale * (2.0 * rng.random::<f64>() - 1.0);
        let mut part = image.clone();
        for (dimension, side, whole) in [
            (2, self.size.0, self.sides.0),
            (3, self.size.1, self.sides.1),
        ] {
            let taken = ((side as f64 * factor).round() as usize).clamp(1, whole);
            let spare = (whole - taken) as u64;
            // At most the canvas's side, which is a usize.
            let start = rng.random_range(0..=spare) as usize;
            part = part.narrow(dimension, start, taken)?;
        }
        Ok(upsample(&part, self.size, UpsampleMode::Bilinear)?)
    }

    /// The middle of the canvas, in the size of the network's input.
    fn finished(&self) -> Result<Image> {
        let whole = self.image()?;
        let (top, left) = (
            (self.sides.0 - self.size.0) / 2,
            (self.sides.1 - self.size.1) / 2,
        );
        let middle = whole
            .narrow(2, top, self.size.0)?
            .narrow(3, left, self.size.1)?;
        self.space.image(&self.space.scaled(&middle)?)
    }
}

/// [`COLORS`] in the order of a network's channels. A single one is only itself.
fn colors(model: &Model, order: ChannelOrder) -> Result<Tensor> {
    let mut rows = COLORS;
    if order == ChannelOrder::Bgr {
        rows.reverse();
    }
    let tensor = match order {
        ChannelOrder::Gray => Tensor::new(&[[[1f32]]], model.device())?,
        ChannelOrder::Rgb | ChannelOrder::Bgr => Tensor::new(&[rows], model.device())?,
    };
    Ok(tensor.to_dtype(wide_type(model.dtype()))?)
}
