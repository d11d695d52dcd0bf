use candle_core::{DType, Device, Tensor};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::check_map;
use crate::explain::display::Heatmap;
use crate::explain::numbers::{largest_first, values_of};
use crate::graph::NodeRef;

use super::explainer::{Explained, Explainer, Subject};

/// Rounds of the power iteration, and the change at which it ends.
const ROUNDS: usize = 500;
const SETTLED: f64 = 1e-10;

/// Options of [`Explainer::score_cam`].
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

    /// Uses only this many channels, the most active ones. Each costs one
    /// forward pass.
    pub const fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the batch size.
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
}

struct Planes {
    height: usize,
    width: usize,
    /// `(C, H * W)`, f64, on the CPU.
    values: Tensor,
}

impl Planes {
    /// The channels of a feature map `(1, C, H, W)`.
    fn of(map: &Tensor) -> Result<Self> {
        let (_, _, height, width) = map.dims4()?;
        let rows = map.squeeze(0)?.flatten_from(1)?;
        let values = rows.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(Self {
            height,
            width,
            values,
        })
    }

    /// The sum of the channels times `weights`, `(C, 1)`. Negative sums become 0.
    /// NaN is refused: as 0 it would look like a position without evidence.
    fn weighted(&self, weights: &Tensor) -> Result<Heatmap> {
        let sums = weights.t()?.matmul(&self.values)?.squeeze(0)?;
        let sums = sums.to_vec1::<f64>()?;
        if sums.iter().any(|sum| !sum.is_finite()) {
            return Err(ExplainError::NonFinite {
                what: "the heat map",
                advice: "check the image's values, and look for damaged weights with \
                         Model::non_finite",
            }
            .into());
        }
        let values = sums.into_iter().map(|sum| sum.max(0.0) as f32);
        Heatmap::new(self.height, self.width, values.collect::<Vec<_>>())
    }
}

/// Class activation maps: the positions of a layer that support a class.
impl Explainer<'_> {
    /// Grad-CAM: the sum of the channels, each weighted by the mean of its
    /// gradient. Negative sums become 0. The backward pass ends at the layer.
    /// Source: Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2.
    ///
    /// # Errors
    /// [`ExplainError::Input`], [`Error::ClassOutOfRange`],
    /// [`ExplainError::NoMap`]; [`ExplainError::NonFinite`] if a value or
    /// gradient is not finite; the errors of
    /// [`Graph::node`](crate::Graph::node) and
    /// [`Model::forward`](crate::Model::forward).
    pub fn grad_cam<'i>(
        &self,
        layer: impl NodeRef,
        image: impl Into<Explained<'i>>,
        class: usize,
    ) -> Result<Heatmap> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        let (value, gradient) = self.value_and_gradient(layer, &x, class)?;
        let gradient = Planes::of(&gradient)?;
        let heat = Planes::of(&value)?.weighted(&gradient.values.mean_keepdim(1)?)?;
        Ok(heat.with_view(view))
    }

    /// Grad-CAM++: as Grad-CAM, but each position's positive gradient has its own
    /// weight. This finds several objects of one class. Source: Chattopadhay et
    /// al., "Grad-CAM++", 2018, equations 5 and 19, for the exponential of the
    /// score.
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`].
    pub fn grad_cam_plus_plus<'i>(
        &self,
        layer: impl NodeRef,
        image: impl Into<Explained<'i>>,
        class: usize,
    ) -> Result<Heatmap> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        let (value, gradient) = self.value_and_gradient(layer, &x, class)?;
        let (value, gradient) = (Planes::of(&value)?, Planes::of(&gradient)?.values);
        // g^2 / (2 g^2 + S g^3), divided by g^2.
        let below = (gradient.broadcast_mul(&value.values.sum_keepdim(1)?)? + 2.0)?;
        let none = gradient.zeros_like()?;
        let weights = below.eq(0.0)?.where_cond(&none, &(&gradient / &below)?)?;
        let weights = gradient.le(0.0)?.where_cond(&none, &weights)?;
        let heat = value.weighted(&weights.sum_keepdim(1)?)?;
        Ok(heat.with_view(view))
    }

    /// Score-CAM, which needs no gradients. Each channel, enlarged and scaled
    /// to 0-1, masks the image. Its weight is the softmax of the class's score
    /// for the masked image. Constant channels are left out. Source: Wang et
    /// al., "Score-CAM", 2020, algorithm 1.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::explain::ScoreCam;
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let most_active = ScoreCam::new().channels(8);
    /// let heat = Explainer::new(&model)?.score_cam("block4_conv3", &x, 7, &most_active)?;
    /// assert_eq!((heat.height(), heat.width()), (4, 4));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`]; [`Error::InvalidSetting`] if the number of
    /// channels or the batch size is 0.
    pub fn score_cam<'i>(
        &self,
        layer: impl NodeRef,
        image: impl Into<Explained<'i>>,
        class: usize,
        options: &ScoreCam,
    ) -> Result<Heatmap> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        Error::at_least_one("channels", options.channels)?;
        Error::at_least_one("batch_size", options.batch_size)?;
        check_map(self.model, &layer)?;
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
        let mut weights = vec![0.0; planes.values.dim(0)?];
        for (&(channel, _), power) in masks.iter().zip(&powers) {
            weights[channel] = power / total;
        }
        let heat = planes.weighted(&Tensor::new(weights, &Device::Cpu)?.unsqueeze(1)?)?;
        Ok(heat.with_view(view))
    }

    /// Eigen-CAM, which needs neither gradients nor a class. The channels of each
    /// position are projected onto their first principal direction, with the sign
    /// that makes the sum of the projections positive. Negative projections become
    /// 0. Source: Muhammad and Yeasin, "Eigen-CAM", 2020, section III, which does
    /// not center the channels.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let heat = Explainer::new(&model)?.eigen_cam("block4_conv3", &x)?;
    /// assert!(heat.values().iter().all(|&value| value >= 0.0));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::grad_cam`].
    pub fn eigen_cam<'i>(
        &self,
        layer: impl NodeRef,
        image: impl Into<Explained<'i>>,
    ) -> Result<Heatmap> {
        let Subject { x, view } = self.checked(image.into(), 0)?;
        check_map(self.model, &layer)?;
        let planes = Planes::of(&self.model.forward_to(layer, &x)?)?;
        let heat = planes.weighted(&first_direction(&planes.values)?)?;
        Ok(heat.with_view(view))
    }
}

/// The most active channels that are not constant, each as a mask
/// `(1, 1, H, W)` of the size of `x`.
fn masks(planes: &Planes, x: &Tensor, channels: usize) -> Result<Vec<(usize, Tensor)>> {
    let (_, _, height, width) = x.dims4()?;
    let order = largest_first(&planes.values.sum(1)?.to_vec1::<f64>()?);
    let mut masks = Vec::new();
    for channel in order.into_iter().take(channels) {
        let plane = values_of(&planes.values.get(channel)?)?;
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

/// The unit vector over channels, `(C, 1)`, with the largest sum of squared
/// projections. Found by power iteration from the sums of the channels.
fn first_direction(planes: &Tensor) -> Result<Tensor> {
    let sums = planes.sum_keepdim(1)?;
    let mut direction = match unit(&sums)? {
        Some(direction) => direction,
        None => (sums.ones_like()? / (planes.dim(0)? as f64).sqrt())?,
    };
    for _ in 0..ROUNDS {
        let projections = planes.t()?.matmul(&direction)?;
        let Some(next) = unit(&planes.matmul(&projections)?)? else {
            break;
        };
        let moved = (&next - &direction)?.abs()?.max_all()?.to_scalar::<f64>()?;
        direction = next;
        if moved < SETTLED {
            break;
        }
    }
    let total = (&sums * &direction)?.sum_all()?.to_scalar::<f64>()?;
    Ok(if total < 0.0 {
        direction.neg()?
    } else {
        direction
    })
}

/// A vector scaled to length 1, unless its length is 0.
fn unit(vector: &Tensor) -> Result<Option<Tensor>> {
    let length = vector.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
    Ok(if length > 0.0 {
        Some((vector / length)?)
    } else {
        None
    })
}
