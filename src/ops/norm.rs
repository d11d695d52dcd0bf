use candle_core::{Result, Tensor};

use super::merge::along_channels;

/// Mean and variance of each channel, `(C)` each.
#[derive(Clone, Debug)]
pub(crate) struct BatchStatistics {
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
}

/// The function `x * scale + shift`, channel by channel.
#[derive(Clone, Debug)]
pub(crate) struct ScaleShift<T> {
    pub(crate) scale: T,
    pub(crate) shift: T,
}

impl ScaleShift<Tensor> {
    /// Batch norm, `(x - mean) / sqrt(variance + eps) * weight + bias`.
    pub(crate) fn of_batch_norm(
        statistics: &BatchStatistics,
        weight: &Tensor,
        bias: &Tensor,
        eps: f64,
    ) -> Result<Self> {
        let deviation = (&statistics.variance + eps)?.sqrt()?;
        let scale = weight.div(&deviation)?;
        let shift = bias.sub(&statistics.mean.mul(&scale)?)?;
        Ok(Self { scale, shift })
    }
}

pub(crate) fn batch_norm(
    x: &Tensor,
    statistics: &BatchStatistics,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let ScaleShift { scale, shift } = ScaleShift::of_batch_norm(statistics, weight, bias, eps)?;
    x.broadcast_mul(&along_channels(&scale, x)?)?
        .broadcast_add(&along_channels(&shift, x)?)
}

/// The mean and biased variance of each channel, with which training
/// normalizes.
pub(crate) fn batch_statistics(x: &Tensor) -> Result<BatchStatistics> {
    let mean_of = |x: &Tensor| match x.rank() {
        4 => x.mean((0, 2, 3)),
        _ => x.mean(0),
    };
    let mean = mean_of(x)?;
    let centered = x.broadcast_sub(&along_channels(&mean, x)?)?;
    let variance = mean_of(&centered.sqr()?)?;
    Ok(BatchStatistics { mean, variance })
}
