use candle_core::Tensor;

use crate::error::{ExplainError, Result};
use crate::explain::check::check_map;
use crate::explain::display::{ColorMap, Heatmap, Sheet};
use crate::explain::numbers::{largest_first, values_of};
use crate::graph::NodeRef;
use crate::layers::Activation;
use crate::model::Model;
use crate::preprocess::Image;

/// A value this near to a limit of its activation is saturated. A channel is
/// saturated if this fraction of its values is.
const NEAR_LIMIT: f32 = 0.01;
const SATURATED: f64 = 0.95;

/// The feature maps of one layer for some images.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::explain::{ActivationSheet, Activations};
/// use vgg_surgery::Vgg16;
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
/// let activations = Activations::of(&model, "block1_conv2", &x)?;
/// assert_eq!(activations.statistics().len(), 4);
/// let sheet = activations.sheet(0, &ActivationSheet::new())?;
/// assert_eq!(sheet.width(), 2 + 2 * (32 + 2));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Activations {
    layer: String,
    limits: &'static [f32],
    dims: [usize; 4],
    values: Vec<f32>,
}

/// Statistics of one channel over all images and positions.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// The channel.
    pub channel: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation, divided by n.
    pub std: f64,
    /// The smallest value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The fraction of values that are 0, from 0 to 1.
    pub zeros: f64,
    /// The fraction of values, from 0 to 1, within 0.01 of a limit of the
    /// activation: 0 and 1 for sigmoid and softmax, -1 and 1 for tanh.
    pub at_limits: f64,
}

impl ChannelStatistics {
    /// Whether the channel is constant: its ReLU is never active, or its filter
    /// is 0.
    pub fn is_dead(&self) -> bool {
        self.min == self.max
    }

    /// Whether at least 95 % of the values are at the activation's limits, where
    /// its gradient is close to 0.
    pub fn is_saturated(&self) -> bool {
        self.at_limits >= SATURATED
    }
}

/// The range of values that a sheet's colors span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scale {
    /// Each channel has its own range.
    #[default]
    Own,
    /// All channels share one range, for comparing them.
    Shared,
}

/// Options of [`Activations::sheet`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ActivationSheet {
    scale: Scale,
    colors: ColorMap,
    channels: usize,
    layout: Sheet,
}

impl Default for ActivationSheet {
    fn default() -> Self {
        Self::new()
    }
}

impl ActivationSheet {
    /// The 64 most active channels in viridis, each on its own scale.
    pub const fn new() -> Self {
        Self {
            scale: Scale::Own,
            colors: ColorMap::Viridis,
            channels: 64,
            layout: Sheet::new(),
        }
    }

    /// Sets the scale.
    pub const fn scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    /// Sets the colors.
    pub const fn colors(mut self, colors: ColorMap) -> Self {
        self.colors = colors;
        self
    }

    /// Sets the largest number of channels.
    pub const fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the layout.
    pub const fn layout(mut self, layout: Sheet) -> Self {
        self.layout = layout;
        self
    }
}

impl Activations {
    /// Computes the feature maps of a layer for images `x` `(N, C, H, W)`.
    ///
    /// # Errors
    /// [`ExplainError::NoMap`] if the layer's output is a vector;
    /// [`ExplainError::Input`] if there are no images; the errors of
    /// [`Model::forward_to`].
    pub fn of(model: &Model, layer: impl NodeRef, x: &Tensor) -> Result<Self> {
        let node = model.graph().node(&layer)?;
        let name = layer.in_words(model.graph()).trim_matches('"').to_string();
        let pick = layer.pick(model.graph())?;
        let limits = if pick.means_pre(node) {
            &[]
        } else {
            limits(node.layer().activation())
        };
        check_map(model, &layer)?;
        let value = model.forward_to(&layer, x)?;
        let (batch, channels, height, width) = value.dims4()?;
        if batch == 0 {
            return Err(ExplainError::Input {
                what: "a look at activations",
                expected: "at least one image",
                actual: x.dims().to_vec(),
            }
            .into());
        }
        Ok(Self {
            layer: name,
            limits,
            dims: [batch, channels, height, width],
            values: values_of(&value)?,
        })
    }

    /// The layer's name.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.dims[0]
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.dims[1]
    }

    /// The feature map of one channel for one image.
    ///
    /// # Errors
    /// [`ExplainError::ImageOutOfRange`], [`ExplainError::ChannelOutOfRange`].
    pub fn map(&self, image: usize, channel: usize) -> Result<Heatmap> {
        let [_, channels, height, width] = self.dims;
        self.check_image(image)?;
        if channel >= channels {
            return Err(ExplainError::ChannelOutOfRange {
                layer: self.layer.clone(),
                channel,
                channels,
            }
            .into());
        }
        Heatmap::new(height, width, self.plane(image, channel))
    }

    fn plane(&self, image: usize, channel: usize) -> &[f32] {
        let [_, channels, height, width] = self.dims;
        let area = height * width;
        &self.values[(image * channels + channel) * area..][..area]
    }

    fn check_image(&self, image: usize) -> Result<()> {
        if image < self.images() {
            return Ok(());
        }
        Err(ExplainError::ImageOutOfRange {
            image,
            images: self.images(),
        }
        .into())
    }

    /// The channels by their mean for one image, largest first; the lower index
    /// first among equals.
    ///
    /// # Errors
    /// [`ExplainError::ImageOutOfRange`].
    pub fn most_active(&self, image: usize) -> Result<Vec<usize>> {
        self.check_image(image)?;
        let sum = |channel| -> f64 {
            let plane = self.plane(image, channel).iter();
            plane.map(|&value| f64::from(value)).sum()
        };
        let sums: Vec<f64> = (0..self.channels()).map(sum).collect();
        Ok(largest_first(&sums))
    }

    /// The statistics of each channel over all images.
    pub fn statistics(&self) -> Vec<ChannelStatistics> {
        (0..self.channels())
            .map(|channel| self.channel_statistics(channel))
            .collect()
    }

    fn channel_statistics(&self, channel: usize) -> ChannelStatistics {
        let planes = || (0..self.images()).flat_map(|image| self.plane(image, channel));
        let count = planes().count() as f64;
        let fraction =
            |of: &dyn Fn(f32) -> bool| planes().filter(|&&value| of(value)).count() as f64 / count;
        let mean = planes().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares = planes().map(|&value| (f64::from(value) - mean).powi(2));
        ChannelStatistics {
            channel,
            mean,
            std: (squares.sum::<f64>() / count).sqrt(),
            min: planes().copied().fold(f32::INFINITY, f32::min),
            max: planes().copied().fold(f32::NEG_INFINITY, f32::max),
            zeros: fraction(&|value| value == 0.0),
            at_limits: fraction(&|value| {
                let mut limits = self.limits.iter();
                limits.any(|limit| (value - limit).abs() <= NEAR_LIMIT)
            }),
        }
    }

    /// The channels' feature maps for one image side by side, the most active
    /// first.
    ///
    /// # Errors
    /// [`ExplainError::ImageOutOfRange`]; the errors of [`Sheet::arrange`].
    pub fn sheet(&self, image: usize, options: &ActivationSheet) -> Result<Image> {
        let shown = self.most_active(image)?.into_iter();
        let maps = shown
            .take(options.channels)
            .map(|channel| self.map(image, channel))
            .collect::<Result<Vec<_>>>()?;
        let ranges = || maps.iter().map(Heatmap::range);
        let low = ranges().map(|range| range.0).fold(f32::INFINITY, f32::min);
        let high = ranges()
            .map(|range| range.1)
            .fold(f32::NEG_INFINITY, f32::max);
        let images = maps
            .iter()
            .map(|map| match options.scale {
                Scale::Own => map.normalized(),
                Scale::Shared => map.between(low, high),
            })
            .map(|map| map.to_image(options.colors))
            .collect::<Result<Vec<_>>>()?;
        options.layout.arrange(&images)
    }
}

fn limits(activation: Activation) -> &'static [f32] {
    match activation {
        Activation::Sigmoid | Activation::Softmax => &[0.0, 1.0],
        Activation::Tanh => &[-1.0, 1.0],
        _ => &[],
    }
}
