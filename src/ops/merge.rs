use candle_core::{D, Result, Tensor};
use rand::Rng;

use crate::layers::{FlattenOrder, Margins};
use crate::random::stream;

use super::memory::in_memory_order;

pub(crate) fn add(inputs: &[Tensor]) -> Result<Tensor> {
    in_memory_order(inputs, |inputs, _| {
        let Some((first, rest)) = inputs.split_first() else {
            candle_core::bail!("a merge takes at least one input");
        };
        rest.iter().try_fold(first.clone(), |sum, x| sum.add(x))
    })
}

pub(crate) fn concat(inputs: &[Tensor]) -> Result<Tensor> {
    in_memory_order(inputs, Tensor::cat)
}

pub(crate) fn zero_pad2d(x: &Tensor, margins: Margins) -> Result<Tensor> {
    x.pad_with_zeros(2, margins.top, margins.bottom)?
        .pad_with_zeros(3, margins.left, margins.right)
}

pub(super) fn flatten(x: &Tensor, order: FlattenOrder) -> Result<Tensor> {
    match (x.rank(), order) {
        (2, _) => Ok(x.clone()),
        (_, FlattenOrder::Chw) => x.flatten_from(1),
        (_, FlattenOrder::Hwc) => x.permute((0, 2, 3, 1))?.flatten_from(1),
    }
}

/// `x * scale + offset`, each one value or one for each channel.
pub(crate) fn rescale(x: &Tensor, scale: &[f32], offset: &[f32]) -> Result<Tensor> {
    let along_channels = |values: &[f32]| {
        let values = Tensor::new(values, x.device())?.to_dtype(x.dtype())?;
        match x.rank() {
            4 => values.reshape((1, (), 1, 1)),
            _ => values.reshape((1, ())),
        }
    };
    x.broadcast_mul(&along_channels(scale)?)?
        .broadcast_add(&along_channels(offset)?)
}

/// Sets each value to zero with probability `rate`, and scales the others by
/// `1 / (1 - rate)`.
pub(super) fn dropout(x: &Tensor, rate: f64, seed: u64) -> Result<Tensor> {
    if rate == 0.0 {
        return Ok(x.clone());
    }
    let mask: Vec<f32> = dropout_keeps(x.elem_count(), rate, seed)
        .map(|keep| if keep { 1.0 } else { 0.0 })
        .collect();
    let mask = Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?;
    x.mul(&mask)? * (1.0 / (1.0 - rate))
}

/// Which of `count` values dropout keeps. Each is dropped with probability `rate`.
pub(super) fn dropout_keeps(count: usize, rate: f64, seed: u64) -> impl Iterator<Item = bool> {
    let mut rng = stream(seed, 0);
    (0..count).map(move |_| rng.random::<f64>() >= rate)
}

/// A channel's or feature's values as a column that broadcasts over `x`.
pub(super) fn along_channels(values: &Tensor, x: &Tensor) -> Result<Tensor> {
    match x.rank() {
        4 => values.reshape((1, (), 1, 1)),
        _ => values.reshape((1, values.dim(D::Minus1)?)),
    }
}
