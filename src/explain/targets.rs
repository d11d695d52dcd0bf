//! Losses of features as a chain runs through them: value and gradient from
//! maps with their channels last, without a stop of the chain at each.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::graph::NodeId;
use crate::kernels::{DenseSizes, Kernel, dense_input_gradient, dense_weight_gradient};
use crate::model::Model;
use crate::ops::Watch;

use super::numbers::values_of;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// Targets of layers, and the weight of the mean squared error from each.
pub(super) struct Targets {
    watches: Vec<(NodeId, Arc<dyn Watch>)>,
    losses: Vec<Arc<Mutex<f64>>>,
    last: NodeId,
}

type Weighed<'a> = (&'a [String], &'a [(Tensor, f64)]);

impl Targets {
    /// Of features `(1, C, H, W)` and Gram matrices `(1, C, C)`; none if the
    /// model's layers can't be watched.
    pub(super) fn new(
        model: &Model,
        (content_layers, contents): Weighed<'_>,
        (style_layers, styles): Weighed<'_>,
    ) -> Result<Option<Self>> {
        let graph = model.graph();
        let layers = content_layers.iter().chain(style_layers);
        let picks = layers.map(|layer| graph.resolve(layer));
        let picks = picks.collect::<Result<Vec<_>>>()?;
        let Some(last) = model.watchable(&picks) else {
            return Ok(None);
        };
        let (mut watches, mut losses) = (Vec::new(), Vec::new());
        for (index, pick) in picks.iter().enumerate() {
            let loss = Arc::new(Mutex::new(0.0));
            losses.push(Arc::clone(&loss));
            let watch: Arc<dyn Watch> = match contents.get(index) {
                Some((target, weight)) => Arc::new(Features {
                    target: values_of(&target.permute((0, 2, 3, 1))?)?,
                    weight: *weight,
                    loss,
                }),
                None => {
                    let (target, weight) = &styles[index - contents.len()];
                    Arc::new(Style {
                        target: values_of(target)?,
                        weight: *weight,
                        loss,
                        factors: Mutex::default(),
                    })
                }
            };
            watches.push((pick.id, watch));
        }
        Ok(Some(Self {
            watches,
            losses,
            last,
        }))
    }

    /// The sum of the losses, with its gradient for a variable `x`.
    pub(super) fn loss(&self, model: &Model, x: &Tensor) -> Result<Tensor> {
        let end = model.run_watched(x, self.last, &self.watches)?;
        let losses = self.losses.iter().map(|loss| *lock(loss));
        // The gradient comes from the watches, on the way back from the end:
        // it begins with zeros there. candle leaves a way out that is scaled
        // by a constant 0, so a tensor holds it.
        let nothing = Tensor::zeros((), end.dtype(), end.device())?;
        Ok(((end.sum_all()? * nothing)? + losses.sum::<f64>())?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mean squared difference of features from a target.
#[derive(Debug)]
struct Features {
    /// Channels last.
    target: Vec<f32>,
    weight: f64,
    loss: Arc<Mutex<f64>>,
}

impl Watch for Features {
    fn see(&self, values: &[f32], _: usize) {
        *lock(&self.loss) = self.weight * mean_square(values, &self.target);
    }

    fn gradient(&self, values: &[f32], _: usize, above: &[f32], sum: &mut [f32]) {
        let slope = (2.0 * self.weight / values.len() as f64) as f32;
        let parts = sum
            .par_chunks_mut(CHUNK)
            .zip(above.par_chunks(CHUNK))
            .zip(values.par_chunks(CHUNK))
            .zip(self.target.par_chunks(CHUNK));
        parts.for_each(|(((sum, above), values), target)| {
            let all = sum.iter_mut().zip(above).zip(values).zip(target);
            for (((sum, above), value), target) in all {
                *sum = above + slope * (value - target);
            }
        });
    }
}

/// The mean squared difference of a Gram matrix from a target.
#[derive(Debug)]
struct Style {
    /// `(C, C)`
    target: Vec<f32>,
    weight: f64,
    loss: Arc<Mutex<f64>>,
    /// What the features seen last are multiplied with for their gradient,
    /// `(C, C)`.
    factors: Mutex<Vec<f32>>,
}

/// Places of a map whose share of a Gram matrix is summed at a time.
const GRAM_PLACES: usize = 1024;

/// Places of a map whose gradient is computed at a time, so that the kernel's
/// sums stay in cache.
const PLACES: usize = 128;

impl Style {
    fn product(values: &[f32], channels: usize) -> (Kernel, DenseSizes) {
        let sizes = DenseSizes {
            batch: values.len() / channels,
            inputs: channels,
            outputs: channels,
        };
        (Kernel::selected(), sizes)
    }
}

impl Watch for Style {
    fn see(&self, values: &[f32], channels: usize) {
        let parts = values.par_chunks(GRAM_PLACES * channels);
        let parts: Vec<Vec<f32>> = parts
            .map(|values| {
                let mut gram = vec![0.0; channels * channels];
                let (kernel, sizes) = Self::product(values, channels);
                dense_weight_gradient(kernel, sizes, values, values.into(), &mut gram);
                gram
            })
            .collect();
        let mut gram = vec![0.0; channels * channels];
        for part in &parts {
            gram.iter_mut()
                .zip(part)
                .for_each(|(sum, value)| *sum += value);
        }
        let places = (values.len() / channels) as f32;
        gram.iter_mut().for_each(|value| *value /= places);
        *lock(&self.loss) = self.weight * mean_square(&gram, &self.target);
        // d mean((F'F / P - T)^2) / dF = F (F'F / P - T) 4 / (P C^2).
        let slope = 4.0 * self.weight / (f64::from(places) * gram.len() as f64);
        for (value, target) in gram.iter_mut().zip(&self.target) {
            *value = (*value - target) * slope as f32;
        }
        *lock(&self.factors) = gram;
    }

    fn gradient(&self, values: &[f32], channels: usize, above: &[f32], sum: &mut [f32]) {
        // Symmetric, so it need not be turned.
        let factors = lock(&self.factors);
        let length = PLACES * channels;
        let sums = sum.par_chunks_mut(length).zip(above.par_chunks(length));
        let parts = sums.zip(values.par_chunks(length));
        parts.for_each(|((sum, above), values)| {
            let (kernel, sizes) = Self::product(values, channels);
            dense_input_gradient(kernel, sizes, &factors, values.into(), sum);
            for (sum, above) in sum.iter_mut().zip(above) {
                *sum += above;
            }
        });
    }
}

fn mean_square(values: &[f32], target: &[f32]) -> f64 {
    let chunks = values.par_chunks(CHUNK).zip(target.par_chunks(CHUNK));
    let squares: Vec<f64> = chunks
        .map(|(values, target)| {
            let pairs = values.iter().zip(target);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        })
        .collect();
    squares.iter().sum::<f64>() / values.len().max(1) as f64
}
