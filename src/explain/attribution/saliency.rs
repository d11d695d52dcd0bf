use candle_core::{Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::check_not_negative;
use crate::explain::display::Heatmap;
use crate::explain::numbers::{gradient, number, values_of};
use crate::ops::wide;
use crate::preprocess::View;
use crate::random::{normal, stream};

use super::explainer::{Explained, Explainer, Subject};
use super::guided::guided;

/// How much each value of the input supports a class.
#[derive(Clone, Debug)]
pub struct Attribution {
    tensor: Tensor,
    view: View,
}

impl Attribution {
    /// The attributions, `(1, C, H, W)`.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The largest magnitude over the channels of each pixel, as Simonyan et
    /// al. show saliency.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the tensor can't be read.
    pub fn magnitude(&self) -> Result<Heatmap> {
        self.over_channels(|largest: f32, value| largest.max(value.abs()))
    }

    /// The sum over the channels of each pixel: positive if the pixel supports the
    /// class, negative if it counts against it.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the tensor can't be read.
    pub fn sum(&self) -> Result<Heatmap> {
        self.over_channels(|sum, value| sum + value)
    }

    fn over_channels(&self, fold: impl Fn(f32, f32) -> f32) -> Result<Heatmap> {
        let (_, _, height, width) = self.tensor.dims4()?;
        let mut pixels = vec![0.0; height * width];
        for plane in values_of(&self.tensor)?.chunks_exact(height * width) {
            for (pixel, &value) in pixels.iter_mut().zip(plane) {
                *pixel = fold(*pixel, value);
            }
        }
        Ok(Heatmap::new(height, width, pixels)?.with_view(self.view))
    }
}

/// Options of [`Explainer::smooth_grad`].
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
    /// 25 samples with noise of 0.15; the paper recommends 0.1 to 0.2.
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

    /// Sets the standard deviation of the noise, as a fraction of the range of
    /// the input's values.
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

/// Attributions to the values of the image.
impl Explainer<'_> {
    /// The gradient of a class's score with respect to the image. Source:
    /// Simonyan et al., "Deep Inside Convolutional Networks", 2014, section 3.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let saliency = Explainer::new(&model)?.saliency(&x, 7)?;
    /// assert_eq!(saliency.magnitude()?.width(), 32);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ExplainError::Input`], [`Error::ClassOutOfRange`],
    /// [`ExplainError::NonFinite`]; the errors of
    /// [`Model::forward`](crate::Model::forward).
    pub fn saliency<'i>(
        &self,
        image: impl Into<Explained<'i>>,
        class: usize,
    ) -> Result<Attribution> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        let tensor = self.input_gradient(&x, class)?;
        Ok(Attribution { tensor, view })
    }

    fn input_gradient(&self, x: &Tensor, class: usize) -> Result<Tensor> {
        let x = Var::from_tensor(&x.detach())?;
        gradient(&self.class_sum(&x, None, class)?, &x)
    }

    /// SmoothGrad: the mean of the gradients at noisy copies of the image.
    /// Source: Smilkov et al., "SmoothGrad", 2017. The noise depends on the
    /// seed alone.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::explain::SmoothGrad;
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let options = SmoothGrad::new().samples(4).seed(1);
    /// let smooth = Explainer::new(&model)?.smooth_grad(&x, 7, &options)?;
    /// assert_eq!(smooth.tensor().dims(), x.dims());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`Error::InvalidSetting`] if there are no
    /// samples, or the noise is negative or not finite.
    pub fn smooth_grad<'i>(
        &self,
        image: impl Into<Explained<'i>>,
        class: usize,
        options: &SmoothGrad,
    ) -> Result<Attribution> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        Error::at_least_one("samples", options.samples)?;
        check_not_negative("noise", options.noise)?;
        let x = &wide(&x)?;
        let range = number(&(x.max_all()? - x.min_all()?)?)?;
        let deviation = options.noise * range;
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
            view,
        })
    }

    /// Guided backpropagation: the gradient with respect to the image, but only
    /// positive gradients pass a ReLU. Source: Springenberg et al., "Striving
    /// for Simplicity", 2015, section 3.4.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let guided = Explainer::new(&model)?.guided_backpropagation(&x, 7)?;
    /// assert_eq!(guided.tensor().dims(), x.dims());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`].
    pub fn guided_backpropagation<'i>(
        &self,
        image: impl Into<Explained<'i>>,
        class: usize,
    ) -> Result<Attribution> {
        let model = self.model.with_graph(guided(self.model.graph())?);
        Explainer::new(&model)?.saliency(image, class)
    }

    /// Integrated gradients: the mean gradient along the straight line from a
    /// baseline to the image, times their difference. The attributions add up
    /// to the difference of the two scores, apart from the error of
    /// integrating with `steps` midpoints. Source: Sundararajan et al.,
    /// "Axiomatic Attribution for Deep Networks", 2017, equation 1.
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
    /// As [`Explainer::saliency`]; [`ExplainError::Input`] if the baseline has
    /// another shape; [`Error::InvalidSetting`] if there are no steps.
    pub fn integrated_gradients<'i>(
        &self,
        image: impl Into<Explained<'i>>,
        class: usize,
        baseline: &Tensor,
        steps: usize,
    ) -> Result<Attribution> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        Error::at_least_one("steps", steps)?;
        if baseline.dims() != x.dims() {
            return Err(ExplainError::Input {
                what: "integrated gradients",
                expected: "a baseline of the image's shape",
                actual: baseline.dims().to_vec(),
            }
            .into());
        }
        let (x, baseline) = (&wide(&x)?, &wide(baseline)?);
        let difference = (x - baseline)?.detach();
        let mut sum = x.zeros_like()?;
        for step in 0..steps {
            let position = (step as f64 + 0.5) / steps as f64;
            let point = (baseline + (&difference * position)?)?;
            sum = (sum + self.input_gradient(&point, class)?)?;
        }
        Ok(Attribution {
            tensor: ((sum / steps as f64)? * difference)?,
            view,
        })
    }
}
