use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Result, Tensor};

use crate::layers::Window;

use super::memory::to_vec;
use super::norm::{BatchStatistics, ScaleShift, batch_norm};

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) window: Window,
    pub(crate) groups: usize,
}

/// The parameters of a convolution or a dense layer.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    /// `(O, I / groups, kH, kW)`, or `(O, F)`.
    pub(crate) weight: Tensor,
    /// `(O)`.
    pub(crate) bias: Option<Tensor>,
    pub(crate) frozen: bool,
}

impl Parameters {
    /// The parameters whose gradients are recorded.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        let parameters = std::iter::once(&self.weight).chain(self.bias.as_ref());
        parameters.filter(|parameter| self.tracks(parameter))
    }

    pub(super) fn tracks(&self, parameter: &Tensor) -> bool {
        !self.frozen && parameter.track_op()
    }

    /// The parameters as candle's operators take them: frozen ones are
    /// detached.
    pub(super) fn recorded(&self) -> Self {
        if !self.frozen {
            return self.clone();
        }
        Self {
            weight: self.weight.detach(),
            bias: self.bias.as_ref().map(Tensor::detach),
            frozen: true,
        }
    }
}

/// The gradient of a parameter as a tensor of the parameter's shape and type.
pub(super) fn gradient_of(parameter: &Tensor, values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(values, parameter.shape(), &Device::Cpu)?.to_dtype(parameter.dtype())
}

/// A batch norm whose statistics are given.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) statistics: BatchStatistics,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) eps: f64,
}

impl BatchNorm {
    /// Normalizes `x`, without a gradient of the parameters.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let statistics = BatchStatistics {
            mean: self.statistics.mean.detach(),
            variance: self.statistics.variance.detach(),
        };
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        batch_norm(x, &statistics, &weight, &bias, self.eps)
    }

    fn tensors(&self) -> [&Tensor; 4] {
        let BatchStatistics { mean, variance } = &self.statistics;
        [mean, variance, &self.weight, &self.bias]
    }

    /// The scale and shift for the kernels, computed in f64.
    fn to_affine(&self) -> Result<ScaleShift<Vec<f32>>> {
        let mean = to_vec(&self.statistics.mean)?;
        let variance = to_vec(&self.statistics.variance)?;
        let (weight, bias) = (to_vec(&self.weight)?, to_vec(&self.bias)?);
        let channels = weight.iter().zip(&bias).zip(mean.iter().zip(&variance));
        let affine = channels.map(|((&weight, &bias), (&mean, &variance))| {
            let scale = f64::from(weight) / (f64::from(variance) + self.eps).sqrt();
            let shift = f64::from(bias) - f64::from(mean) * scale;
            (scale as f32, shift as f32)
        });
        let (scale, shift) = affine.unzip();
        Ok(ScaleShift { scale, shift })
    }
}

/// A value computed from tensors: once if they can't change, else at each use.
#[derive(Debug)]
struct Cached<T>(OnceLock<T>);

impl<T: Clone> Cached<T> {
    fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self, is_fixed: bool, compute: impl Fn() -> Result<T>) -> Result<Cow<'_, T>> {
        if !is_fixed {
            return compute().map(Cow::Owned);
        }
        if let Some(known) = self.0.get() {
            return Ok(Cow::Borrowed(known));
        }
        let computed = compute()?;
        Ok(Cow::Borrowed(self.0.get_or_init(|| computed)))
    }
}

/// A bias in the form that the kernels read.
#[derive(Debug)]
pub(super) struct Bias {
    tensor: Option<Tensor>,
    values: Cached<Vec<f32>>,
}

impl Bias {
    pub(super) fn new(tensor: Option<&Tensor>) -> Self {
        Self {
            tensor: tensor.cloned(),
            values: Cached::new(),
        }
    }

    pub(super) fn values(&self) -> Result<Option<Cow<'_, [f32]>>> {
        let Some(tensor) = &self.tensor else {
            return Ok(None);
        };
        let values = self.values.get(!tensor.is_variable(), || to_vec(tensor))?;
        Ok(Some(match values {
            Cow::Borrowed(values) => Cow::Borrowed(values.as_slice()),
            Cow::Owned(values) => Cow::Owned(values),
        }))
    }
}

/// A batch norm in the form that the kernels read.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(super) tensors: BatchNorm,
    affine: Cached<ScaleShift<Vec<f32>>>,
}

impl Norm {
    pub(super) fn new(tensors: BatchNorm) -> Self {
        Self {
            tensors,
            affine: Cached::new(),
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.tensors.weight.elem_count()
    }

    pub(super) fn affine(&self) -> Result<Cow<'_, ScaleShift<Vec<f32>>>> {
        let mut tensors = self.tensors.tensors().into_iter();
        let is_fixed = !tensors.any(Tensor::is_variable);
        self.affine.get(is_fixed, || self.tensors.to_affine())
    }
}

/// Supplies the seed of each dropout mask.
#[derive(Clone)]
pub(crate) struct MaskSeeds(Arc<dyn Fn() -> u64 + Send + Sync>);

impl MaskSeeds {
    pub(crate) fn new(next: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    pub(super) fn next(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for MaskSeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskSeeds")
    }
}
