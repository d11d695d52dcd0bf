use candle_core::{Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::display::Heatmap;
use crate::explain::numbers::{gradient, values_of, wide};
use crate::random::{normal, stream};

use super::explainer::Explainer;
use super::guided::guided;

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

    /// At each pixel the largest magnitude of its channels, as Simonyan et al.
    /// show saliency.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the tensor can't be read.
    pub fn magnitude(&self) -> Result<Heatmap> {
        self.over_channels(|largest: f32, value| largest.max(value.abs()))
    }

    /// At each pixel the sum over its channels: what speaks for the class is
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

    /// Sets the deviation of the noise, as a fraction of the range of the input's
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

/// Attributions: how much each value of the image speaks for a class.
impl Explainer<'_> {
    /// The gradient of a class' score in the image. Source: Simonyan et al.,
    /// "Deep Inside Convolutional Networks", 2014, section 3.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let saliency = explainer.saliency(&x, 7)?;
    /// assert_eq!(saliency.tensor().dims(), x.dims());
    /// assert_eq!(saliency.magnitude()?.width(), 32);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ExplainError::Input`], [`Error::ClassOutOfRange`]; those of
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

    /// The mean of the gradients at noisy copies of the image. Source:
    /// Smilkov et al., "SmoothGrad", 2017. The same seed gives the same noise.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, SmoothGrad, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let options = SmoothGrad::new().samples(4).seed(1);
    /// let smooth = explainer.smooth_grad(&x, 7, &options)?;
    /// assert_eq!(smooth.tensor().dims(), x.dims());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`Error::InvalidSetting`] for no samples,
    /// or noise that is negative or not finite.
    pub fn smooth_grad(
        &self,
        x: &Tensor,
        class: usize,
        options: &SmoothGrad,
    ) -> Result<Attribution> {
        self.check(x, class)?;
        Error::at_least_one("samples", options.samples)?;
        if !(options.noise.is_finite() && options.noise >= 0.0) {
            return Err(Error::setting(
                format!("noise {}", options.noise),
                "must be a fraction from 0 on",
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

    /// Guided backpropagation: the gradient in the image, but at every ReLU
    /// only what is positive passes. Source: Springenberg et al., "Striving
    /// for Simplicity", 2015, section 3.4.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let guided = explainer.guided_backpropagation(&x, 7)?;
    /// assert_eq!(guided.tensor().dims(), x.dims());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`].
    pub fn guided_backpropagation(&self, x: &Tensor, class: usize) -> Result<Attribution> {
        self.check(x, class)?;
        let model = self.model.with_graph(guided(self.model.graph())?);
        Explainer::new(&model)?.saliency(x, class)
    }

    /// Integrated gradients: the gradients along the straight way from a
    /// baseline to the image, times the way; their sum is the difference of
    /// the two scores, but for the error of `steps` midpoints. Source:
    /// Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017,
    /// equation 1.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::full(0.5f32, (1, 3, 32, 32), &Device::Cpu)?;
    /// let explainer = Explainer::new(&model)?;
    /// let black = x.zeros_like()?;
    /// let evidence = explainer.integrated_gradients(&x, 7, &black, 64)?;
    /// let total: f32 = evidence.sum()?.values().iter().sum();
    /// let difference = explainer.scores(&x)?[7] - explainer.scores(&black)?[7];
    /// assert!((total - difference).abs() < 0.01 * difference.abs());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`ExplainError::Input`] for a baseline of
    /// another shape, [`Error::InvalidSetting`] for no steps.
    pub fn integrated_gradients(
        &self,
        x: &Tensor,
        class: usize,
        baseline: &Tensor,
        steps: usize,
    ) -> Result<Attribution> {
        self.check(x, class)?;
        Error::at_least_one("steps", steps)?;
        if baseline.dims() != x.dims() {
            return Err(ExplainError::Input {
                what: "integrated gradients",
                expected: "a baseline of the image's shape",
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
}

fn range(x: &Tensor) -> Result<(f32, f32)> {
    let values = values_of(x)?;
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Ok((low, high))
}
