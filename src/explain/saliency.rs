use candle_core::{Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::random::{normal, stream};

use super::explainer::{Explainer, gradient};
use super::guided::guided;
use super::heatmap::Heatmap;
use super::numbers::{values_of, wide};

/// A number for each value of the input: how much it speaks for a class.
#[derive(Clone, Debug)]
pub struct Attribution {
    tensor: Tensor,
}

impl Attribution {
    /// The numbers, `(1, C, H, W)`.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// At each place the largest magnitude of its channels, as Simonyan et al.
    /// show saliency.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the tensor can't be read.
    pub fn magnitude(&self) -> Result<Heatmap> {
        self.over_channels(|largest: f32, value| largest.max(value.abs()))
    }

    /// At each place the sum over its channels: what speaks for the class is
    /// positive, what speaks against it negative.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the tensor can't be read.
    pub fn sum(&self) -> Result<Heatmap> {
        self.over_channels(|sum, value| sum + value)
    }

    fn over_channels(&self, fold: impl Fn(f32, f32) -> f32) -> Result<Heatmap> {
        let (_, _, height, width) = self.tensor.dims4()?;
        let mut places = vec![0.0; height * width];
        for plane in values_of(&self.tensor)?.chunks_exact(height * width) {
            for (place, &value) in places.iter_mut().zip(plane) {
                *place = fold(*place, value);
            }
        }
        Heatmap::new(height, width, places)
    }
}

/// How SmoothGrad draws its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct SmoothGrad {
    samples: usize,
    noise: f64,
    seed: u64,
}

impl Default for SmoothGrad {
    fn default() -> Self {
        Self::new()
    }
}

impl SmoothGrad {
    /// 25 samples; noise of 0.15, in the middle of the 10 to 20 % that the
    /// paper finds good.
    pub const fn new() -> Self {
        Self {
            samples: 25,
            noise: 0.15,
            seed: 0,
        }
    }

    /// Sets the number of samples.
    pub const fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the deviation of the noise, as a share of the range of the input's
    /// values.
    pub const fn noise(mut self, noise: f64) -> Self {
        self.noise = noise;
        self
    }

    /// Sets the seed of the noise.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// How occlusion covers the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Occlusion {
    window: (usize, usize),
    stride: (usize, usize),
    fill: f64,
    batch_size: usize,
}

impl Occlusion {
    /// A window of this many rows and columns that moves by half of that, and
    /// covers with 0: with most preprocessings the mean colour.
    pub const fn new(height: usize, width: usize) -> Self {
        Self {
            window: (height, width),
            stride: (half_of(height), half_of(width)),
            fill: 0.0,
            batch_size: 16,
        }
    }

    /// Sets the step of the window, in rows and columns.
    pub const fn stride(mut self, rows: usize, columns: usize) -> Self {
        self.stride = (rows, columns);
        self
    }

    /// Sets the value that covers.
    pub const fn fill(mut self, fill: f64) -> Self {
        self.fill = fill;
        self
    }

    /// Sets the number of runs at a time.
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
}

/// Attributions: how much each value of the picture speaks for a class.
impl Explainer<'_> {
    /// The gradient of a class' score in the picture. Source: Simonyan et al.,
    /// "Deep Inside Convolutional Networks", 2014, section 3.
    ///
    /// # Errors
    /// [`ExplainError::Input`], [`ExplainError::ClassOutOfRange`]; those of
    /// [`Model::forward`](crate::Model::forward).
    pub fn saliency(&self, x: &Tensor, class: usize) -> Result<Attribution> {
        self.check(x, class)?;
        let tensor = self.input_gradient(x, class)?;
        Ok(Attribution { tensor })
    }

    /// The sum over a batch of the gradients in it, at its shape.
    fn input_gradient(&self, x: &Tensor, class: usize) -> Result<Tensor> {
        let x = Var::from_tensor(&x.detach())?;
        gradient(&self.class_sum(&x, None, class)?, &x)
    }

    /// The mean of the gradients at noisy copies of the picture. Source:
    /// Smilkov et al., "SmoothGrad", 2017. The same seed gives the same noise.
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`ExplainError::Setting`] for no samples,
    /// or noise that is negative or not finite.
    pub fn smooth_grad(
        &self,
        x: &Tensor,
        class: usize,
        options: &SmoothGrad,
    ) -> Result<Attribution> {
        self.check(x, class)?;
        at_least_one("samples", options.samples)?;
        if !(options.noise.is_finite() && options.noise >= 0.0) {
            return Err(illegal(
                format!("noise {}", options.noise),
                "must be a share from 0 on",
            ));
        }
        let x = &wide(x)?;
        let (low, high) = range(x)?;
        let deviation = options.noise * f64::from(high - low);
        let mut sum = x.zeros_like()?;
        for sample in 0..options.samples {
            let mut rng = stream(options.seed, sample as u64);
            let noise = normal(&mut rng, x.elem_count(), 1.0);
            let noise = Tensor::from_vec(noise, x.dims(), x.device())?.to_dtype(x.dtype())?;
            let noisy = (x + (noise * deviation)?)?;
            sum = (sum + self.input_gradient(&noisy, class)?)?;
        }
        Ok(Attribution {
            tensor: (sum / options.samples as f64)?,
        })
    }

    /// Guided backpropagation: the gradient in the picture, but at every ReLU
    /// only what is positive passes. Source: Springenberg et al., "Striving
    /// for Simplicity", 2015, section 3.4.
    ///
    /// # Errors
    /// As [`Explainer::saliency`].
    pub fn guided_backpropagation(&self, x: &Tensor, class: usize) -> Result<Attribution> {
        self.check(x, class)?;
        let model = self.model.with_graph(guided(self.model.graph())?);
        Explainer::new(&model)?.saliency(x, class)
    }

    /// Integrated gradients: the gradients along the straight way from a
    /// baseline to the picture, times the way; their sum is the difference of
    /// the two scores, but for the error of `steps` midpoints. Source:
    /// Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017,
    /// equation 1.
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`ExplainError::Input`] for a baseline of
    /// another shape, [`ExplainError::Setting`] for no steps.
    pub fn integrated_gradients(
        &self,
        x: &Tensor,
        class: usize,
        baseline: &Tensor,
        steps: usize,
    ) -> Result<Attribution> {
        self.check(x, class)?;
        at_least_one("steps", steps)?;
        if baseline.dims() != x.dims() {
            return Err(ExplainError::Input {
                what: "integrated gradients",
                expected: "a baseline of the picture's shape",
                actual: baseline.dims().to_vec(),
            }
            .into());
        }
        let (x, baseline) = (&wide(x)?, &wide(baseline)?);
        let way = (x - baseline)?.detach();
        let mut sum = x.zeros_like()?;
        for step in 0..steps {
            let share = (step as f64 + 0.5) / steps as f64;
            let point = (baseline + (&way * share)?)?;
            sum = (sum + self.input_gradient(&point, class)?)?;
        }
        Ok(Attribution {
            tensor: ((sum / steps as f64)? * way)?,
        })
    }

    /// Occlusion: by how much the score falls when a window is covered, at
    /// each place the mean over the windows that cover it. Source: Zeiler and
    /// Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
    /// section 4.2.
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`ExplainError::Setting`] for a window,
    /// stride or batch of 0, or a window larger than the picture.
    pub fn occlusion(&self, x: &Tensor, class: usize, options: &Occlusion) -> Result<Heatmap> {
        self.check(x, class)?;
        let (_, _, height, width) = x.dims4()?;
        let rows = starts("window height", height, options.window.0, options.stride.0)?;
        let columns = starts("window width", width, options.window.1, options.stride.1)?;
        at_least_one("batch_size", options.batch_size)?;
        let windows: Vec<(usize, usize)> = rows
            .iter()
            .flat_map(|&row| columns.iter().map(move |&column| (row, column)))
            .collect();
        let whole = f64::from(self.scores(x)?[class]);
        let (mut sums, mut counts) = (vec![0.0; height * width], vec![0u32; height * width]);
        for group in windows.chunks(options.batch_size) {
            let covered = group.iter().map(|&at| cover(x, at, options));
            let covered = Tensor::cat(&covered.collect::<Result<Vec<_>>>()?, 0)?;
            let scores = self.score_tensor(&covered, None)?.narrow(1, class, 1)?;
            for (&(top, left), score) in group.iter().zip(values_of(&scores)?) {
                for row in top..top + options.window.0 {
                    for place in row * width + left..row * width + left + options.window.1 {
                        sums[place] += whole - f64::from(score);
                        counts[place] += 1;
                    }
                }
            }
        }
        let means = sums.iter().zip(&counts);
        let means = means.map(|(sum, &count)| (sum / f64::from(count.max(1))) as f32);
        Heatmap::new(height, width, means.collect::<Vec<_>>())
    }
}

const fn half_of(side: usize) -> usize {
    if side < 2 { 1 } else { side / 2 }
}

/// Where windows start along a side; the last one ends with it.
fn starts(name: &str, side: usize, window: usize, stride: usize) -> Result<Vec<usize>> {
    if window == 0 || window > side || stride == 0 {
        return Err(illegal(
            format!("{name} {window}, moved by {stride} over {side} pixels"),
            "can't be: a window is from 1 pixel to the picture's size and moves by 1 at least",
        ));
    }
    let last = side - window;
    let mut starts: Vec<usize> = (0..last).step_by(stride).collect();
    starts.push(last);
    Ok(starts)
}

fn cover(x: &Tensor, (top, left): (usize, usize), options: &Occlusion) -> Result<Tensor> {
    let (_, channels, _, _) = x.dims4()?;
    let (height, width) = options.window;
    let patch = Tensor::full(
        options.fill as f32,
        (1, channels, height, width),
        x.device(),
    )?;
    let ranges = [0..1, 0..channels, top..top + height, left..left + width];
    Ok(x.contiguous()?
        .slice_assign(&ranges, &patch.to_dtype(x.dtype())?)?)
}

fn range(x: &Tensor) -> Result<(f32, f32)> {
    let values = values_of(x)?;
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Ok((low, high))
}

pub(super) fn at_least_one(name: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(illegal(format!("{name} 0"), "must be at least 1"))
}

pub(super) fn illegal(setting: String, reason: &'static str) -> Error {
    ExplainError::Setting { setting, reason }.into()
}
