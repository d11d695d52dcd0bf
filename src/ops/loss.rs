//! Losses at taps, the layers whose features a loss reads: with candle's operators
//! for every device and type, and with the kernels on feature maps, channels last.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::kernels::{self, DenseSizes, Kernel};

/// Values that a thread processes at a time.
const CHUNK: usize = 16 * 1024;

/// Pixels over which a Gram matrix is summed at a time.
const GRAM_PIXELS: usize = 1024;

/// Pixels whose gradient is computed at a time: the kernel's sums stay in cache.
const PIXELS: usize = 128;

/// What a loss compares with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// The features, `(N, C, H, W)`.
    Features,
    /// Their [`gram_matrix`], `(N, C, C)`.
    Gram,
}

/// The mean squared difference between a layer's features, or their Gram matrix,
/// and a target, times a weight.
#[derive(Clone, Debug)]
pub(crate) struct TapLoss {
    compared: Compared,
    target: Tensor,
    weight: f64,
    /// The target's values, channels last.
    values: Arc<[f32]>,
}

impl TapLoss {
    /// The target has the shape of the compared values.
    pub(crate) fn new(compared: Compared, target: Tensor, weight: f64) -> Result<Self> {
        let last = match compared {
            Compared::Features => target.permute((0, 2, 3, 1))?,
            Compared::Gram => target.clone(),
        };
        let last = last.detach().to_device(&Device::Cpu)?.flatten_all()?;
        Ok(Self {
            compared,
            target,
            weight,
            values: last.to_dtype(DType::F32)?.to_vec1()?.into(),
        })
    }

    /// The loss, a scalar, of features `(N, C, H, W)` on any device.
    pub(crate) fn of(&self, features: &Tensor) -> Result<Tensor> {
        let error = match self.compared {
            Compared::Features => mean_square(features, &self.target)?,
            Compared::Gram => mean_square(&gram_matrix(features)?, &self.target)?,
        };
        error * self.weight
    }

    /// The loss of one image's feature map with its channels last, and the
    /// factors of its gradient.
    pub(super) fn forward(&self, values: &[f32], channels: usize) -> (f64, Vec<f32>) {
        if self.compared == Compared::Features {
            let loss = self.weight * mean_square_of(values, &self.values);
            return (loss, Vec::new());
        }
        let mut gram = gram_of(values, channels);
        let loss = self.weight * mean_square_of(&gram, &self.values);
        // d mean((F'F / P - T)^2) / dF = F (F'F / P - T) 4 / (P C^2).
        let pixels = values.len() / channels;
        let slope = 4.0 * self.weight / (pixels * gram.len()) as f64;
        for (value, target) in gram.iter_mut().zip(self.values.iter()) {
            *value = (*value - target) * slope as f32;
        }
        (loss, gram)
    }

    /// Writes `above`, the gradient from the layers after the tap, plus
    /// `grad_loss` times the gradient of the loss at these values.
    pub(super) fn backward(&self, at: LossBackward<'_>, grad_input: &mut [f32]) {
        match self.compared {
            Compared::Features => self.features_gradient(at, grad_input),
            Compared::Gram => gram_gradient(at, grad_input),
        }
    }

    fn features_gradient(&self, at: LossBackward<'_>, grad_input: &mut [f32]) {
        let slope = (2.0 * self.weight / at.values.len() as f64) as f32 * at.grad_loss;
        let parts = grad_input
            .par_chunks_mut(CHUNK)
            .zip(at.above.par_chunks(CHUNK))
            .zip(at.values.par_chunks(CHUNK))
            .zip(self.values.par_chunks(CHUNK));
        parts.for_each(|(((sum, above), values), target)| {
            let all = sum.iter_mut().zip(above).zip(values).zip(target);
            for (((sum, above), value), target) in all {
                *sum = above + slope * (value - target);
            }
        });
    }
}

/// The operands of the gradient of a [`TapLoss`].
pub(super) struct LossBackward<'a> {
    pub(super) values: &'a [f32],
    pub(super) channels: usize,
    /// The factors that [`TapLoss::forward`] returned.
    pub(super) factors: &'a [f32],
    pub(super) above: &'a [f32],
    pub(super) grad_loss: f32,
}

/// Gram matrices of feature maps `(N, C, H, W)`: the mean over pixels of the
/// product of each pair of channels, `(N, C, C)`. The result is f32 if the feature
/// maps are in half precision.
pub(crate) fn gram_matrix(maps: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = maps.dims4()?;
    let rows = wide(maps)?.flatten_from(2)?.contiguous()?;
    let products = rows.matmul(&rows.transpose(1, 2)?)?;
    products / (height * width) as f64
}

/// The mean squared difference, a scalar. It is f32 if the values are in half
/// precision.
pub(crate) fn mean_square(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (wide(a)? - wide(b)?)?.sqr()?.mean_all()
}

/// The type in which values of this type are summed. candle sums in the type
/// itself, and sums of many values in half precision saturate or overflow.
pub(crate) fn wide_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        wide => wide,
    }
}

pub(crate) fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(wide_type(tensor.dtype()))
}

/// The sizes of a product: a feature map times a (C, C) matrix.
fn product(values: &[f32], channels: usize) -> DenseSizes {
    DenseSizes {
        batch: values.len() / channels,
        inputs: channels,
        outputs: channels,
    }
}

fn gram_of(values: &[f32], channels: usize) -> Vec<f32> {
    let kernel = Kernel::selected();
    let parts = values.par_chunks(GRAM_PIXELS * channels);
    let parts: Vec<Vec<f32>> = parts
        .map(|values| {
            let mut gram = vec![0.0; channels * channels];
            let sizes = product(values, channels);
            kernels::dense_weight_gradient(kernel, sizes, values, values.into(), &mut gram);
            gram
        })
        .collect();
    let mut gram = vec![0.0; channels * channels];
    for part in &parts {
        let sums = gram.iter_mut().zip(part);
        sums.for_each(|(sum, value)| *sum += value);
    }
    let pixels = (values.len() / channels) as f32;
    gram.iter_mut().for_each(|value| *value /= pixels);
    gram
}

fn gram_gradient(at: LossBackward<'_>, grad_input: &mut [f32]) {
    let kernel = Kernel::selected();
    // Symmetric, so it need not be transposed.
    let factors: Vec<f32> = at.factors.iter().map(|f| f * at.grad_loss).collect();
    let length = PIXELS * at.channels;
    let sums = grad_input
        .par_chunks_mut(length)
        .zip(at.above.par_chunks(length));
    let parts = sums.zip(at.values.par_chunks(length));
    parts.for_each(|((sum, above), values)| {
        let sizes = product(values, at.channels);
        kernels::dense_input_gradient(kernel, sizes, &factors, values.into(), sum);
        for (sum, above) in sum.iter_mut().zip(above) {
            *sum += above;
        }
    });
}

fn mean_square_of(values: &[f32], target: &[f32]) -> f64 {
    let chunks = values.par_chunks(CHUNK).zip(target.par_chunks(CHUNK));
    let squares: Vec<f64> = chunks
        .map(|(values, target)| {
            let pairs = values.iter().zip(target);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        })
        .collect();
    squares.iter().sum::<f64>() / values.len().max(1) as f64
}
