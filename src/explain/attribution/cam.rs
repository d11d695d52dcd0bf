use candle_core::Tensor;

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::check_map;
use crate::explain::display::Heatmap;
use crate::explain::numbers::values_of;
use crate::graph::NodeRef;

use super::explainer::Explainer;

/// Rounds of the power iteration, and the change at which it ends.
const ROUNDS: usize = 500;
const SETTLED: f64 = 1e-10;

/// How much work Score-CAM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ScoreCam {
    channels: usize,
    batch_size: usize,
}

impl Default for ScoreCam {
    fn default() -> Self {
        Self::new()
    }
}

impl ScoreCam {
    /// All channels, 16 at a time.
    pub const fn new() -> Self {
        Self {
            channels: usize::MAX,
            batch_size: 16,
        }
    }

    /// Takes the most active channels alone: one run of the network each.
    pub const fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the number of runs at a time.
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
}

/// One channel after the other, each of `area` values.
struct Planes {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Planes {
    /// Of one image's feature map `(1, C, H, W)`.
    fn of(map: &Tensor) -> Result<Self> {
        let (_, _, height, width) = map.dims4()?;
        Ok(Self {
            height,
            width,
            values: values_of(map)?,
        })
    }

    fn area(&self) -> usize {
        self.height * self.width
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.area())
    }

    /// The channels' sum by weights, negative sums as 0. One that is NaN is
    /// refused: as 0 it would pass for a position that says nothing.
    fn weighed(&self, weights: &[f64]) -> Result<Heatmap> {
        let mut sums = vec![0.0; self.area()];
        for (plane, weight) in self.iter().zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(plane) {
                *sum += weight * f64::from(value);
            }
        }
        if sums.iter().any(|sum| !sum.is_finite()) {
            return Err(ExplainError::NonFinite {
                what: "the heat map",
                advice: "look at the image's values, and for damaged weights with \
                         Model::non_finite",
            }
            .into());
        }
        let values = sums.into_iter().map(|sum| sum.max(0.0) as f32);
        Heatmap::new(self.height, self.width, values.collect::<Vec<_>>())
    }
}

/// Class activation maps: which positions of a layer speak for a class.
impl Explainer<'_> {
    /// Grad-CAM: channels weighed by the mean of their gradients, negative
    /// sums as 0. The gradient is taken down to the layer and no further.
    /// Source: Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let heat = explainer.grad_cam("block4_conv3", &x, 7)?;
    /// assert_eq!((heat.height(), heat.width()), (4, 4));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ExplainError::Input`], [`Error::ClassOutOfRange`],
    /// [`ExplainError::NoMap`]; [`ExplainError::NonFinite`] if values or
    /// gradients are not; those of the layer's name and of
    /// [`Model::forward`](crate::Model::forward).
    pub fn grad_cam(&self, layer: impl NodeRef, x: &Tensor, class: usize) -> Result<Heatmap> {
        let (value, gradient) = self.value_and_gradient(layer, x, class)?;
        let (value, gradient) = (Planes::of(&value)?, Planes::of(&gradient)?);
        let mean = |plane: &[f32]| sum(plane) / plane.len() as f64;
        value.weighed(&gradient.iter().map(mean).collect::<Vec<_>>())
    }

    /// Grad-CAM++: as Grad-CAM, but each position's positive gradient counts by
    /// its own weight, which finds several things of one class. Source:
    /// Chattopadhay et al., "Grad-CAM++", 2018, equations 5 and 19, of the
    /// score's exponential.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let heat = explainer.grad_cam_plus_plus("block4_conv3", &x, 7)?;
    /// assert!(heat.values().iter().all(|&value| value >= 0.0));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`].
    pub fn grad_cam_plus_plus(
        &self,
        layer: impl NodeRef,
        x: &Tensor,
        class: usize,
    ) -> Result<Heatmap> {
        let (value, gradient) = self.value_and_gradient(layer, x, class)?;
        let (value, gradient) = (Planes::of(&value)?, Planes::of(&gradient)?);
        let weights = value.iter().zip(gradient.iter()).map(|(value, gradient)| {
            let total = sum(value);
            let terms = gradient.iter().map(|&gradient| {
                let gradient = f64::from(gradient);
                if gradient <= 0.0 {
                    return 0.0;
                }
                // g^2 / (2 g^2 + S g^3), by g^2.
                let below = 2.0 + total * gradient;
                if below == 0.0 { 0.0 } else { gradient / below }
            });
            terms.sum()
        });
        let weights: Vec<f64> = weights.collect();
        value.weighed(&weights)
    }

    /// Score-CAM, without gradients: the image is masked with each channel,
    /// enlarged and scaled to 0-1, and the channels are weighed by the softmax
    /// of the scores that this leaves the class. Channels that are the same
    /// everywhere are left out. Source: Wang et al., "Score-CAM", 2020,
    /// algorithm 1.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, ScoreCam, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let most_active = ScoreCam::new().channels(8);
    /// let heat = explainer.score_cam("block4_conv3", &x, 7, &most_active)?;
    /// assert_eq!((heat.height(), heat.width()), (4, 4));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`]; [`Error::InvalidSetting`] for no channels
    /// or batches of none.
    pub fn score_cam(
        &self,
        layer: impl NodeRef,
        x: &Tensor,
        class: usize,
        options: &ScoreCam,
    ) -> Result<Heatmap> {
        self.check(x, class)?;
        options.check()?;
        check_map(self.model, &layer)?;
        let x = x.detach();
        let planes = Planes::of(&self.model.forward_to(layer, &x)?)?;
        let masks = masks(&planes, &x, options.channels)?;
        let mut scores = Vec::with_capacity(masks.len());
        for group in masks.chunks(options.batch_size) {
            let group: Vec<&Tensor> = group.iter().map(|(_, mask)| mask).collect();
            let masked = Tensor::cat(&group, 0)?.broadcast_mul(&x)?;
            let found = self.score_tensor(&masked, None)?;
            scores.extend(values_of(&found.narrow(1, class, 1)?)?);
        }
        let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers = scores.iter().map(|&score| f64::from(score - best).exp());
        let powers: Vec<f64> = powers.collect();
        let total: f64 = powers.iter().sum();
        let mut weights = vec![0.0; planes.iter().len()];
        for (&(channel, _), power) in masks.iter().zip(&powers) {
            weights[channel] = power / total;
        }
        planes.weighed(&weights)
    }

    /// Eigen-CAM, without gradients or a class: the projection of each position's
    /// channels on their first principal direction, with the sign that makes
    /// its sum positive, negative values as 0. Source: Muhammad and Yeasin,
    /// "Eigen-CAM", 2020, section III, which does not center the channels.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let heat = explainer.eigen_cam("block4_conv3", &x)?;
    /// assert!(heat.values().iter().all(|&value| value >= 0.0));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`].
    pub fn eigen_cam(&self, layer: impl NodeRef, x: &Tensor) -> Result<Heatmap> {
        self.check(x, 0)?;
        check_map(self.model, &layer)?;
        let planes = Planes::of(&self.model.forward_to(layer, &x.detach())?)?;
        planes.weighed(&first_direction(&planes))
    }
}

impl ScoreCam {
    fn check(&self) -> Result<()> {
        for (setting, value) in [("channels", self.channels), ("batch_size", self.batch_size)] {
            Error::at_least_one(setting, value)?;
        }
        Ok(())
    }
}

/// The most active channels that differ somewhere, and each as a mask
/// `(1, 1, H, W)` of the size of `x`.
fn masks(planes: &Planes, x: &Tensor, channels: usize) -> Result<Vec<(usize, Tensor)>> {
    let (_, _, height, width) = x.dims4()?;
    let sums: Vec<f64> = planes.iter().map(sum).collect();
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
    let mut masks = Vec::new();
    for channel in order.into_iter().take(channels) {
        let plane = &planes.values[channel * planes.area()..][..planes.area()];
        let map = Heatmap::new(planes.height, planes.width, plane)?;
        let (low, high) = map.range();
        if low < high {
            let mask = map.resize(height, width)?.normalized();
            let mask = Tensor::from_slice(mask.values(), (1, 1, height, width), x.device())?;
            masks.push((channel, mask.to_dtype(x.dtype())?));
        }
    }
    Ok(masks)
}

/// The unit vector over channels along which the positions' values are largest:
/// power iteration from the channels' sums.
fn first_direction(planes: &Planes) -> Vec<f64> {
    let mut direction: Vec<f64> = planes.iter().map(sum).collect();
    if !normalize(&mut direction) {
        direction.fill(1.0);
        normalize(&mut direction);
    }
    for _ in 0..ROUNDS {
        let mut projection = vec![0.0; planes.area()];
        for (plane, weight) in planes.iter().zip(&direction) {
            for (sum, &value) in projection.iter_mut().zip(plane) {
                *sum += weight * f64::from(value);
            }
        }
        let along = planes.iter().map(|plane| {
            let terms = plane.iter().zip(&projection);
            terms.map(|(&value, along)| f64::from(value) * along).sum()
        });
        let mut next: Vec<f64> = along.collect();
        if !normalize(&mut next) {
            break;
        }
        let moved = next.iter().zip(&direction).map(|(a, b)| (a - b).abs());
        let moved = moved.fold(0.0, f64::max);
        direction = next;
        if moved < SETTLED {
            break;
        }
    }
    let total: f64 = planes.iter().zip(&direction).map(|(p, w)| sum(p) * w).sum();
    if total < 0.0 {
        direction.iter_mut().for_each(|weight| *weight = -*weight);
    }
    direction
}

/// Scales to length 1, unless the length is 0.
fn normalize(vector: &mut [f64]) -> bool {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    length > 0.0
}

fn sum(plane: &[f32]) -> f64 {
    plane.iter().map(|&value| f64::from(value)).sum()
}
