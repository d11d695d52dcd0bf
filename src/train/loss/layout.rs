//! How scores and targets lie in their tensors.

use candle_core::{DType, Device, Tensor};

use crate::error::{Result, TrainingError};

/// The sizes of scores `(N, K, ..)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreShape {
    pub(super) batch: usize,
    pub(super) classes: usize,
    /// Pixels of a feature map, 1 of a vector.
    pub(super) positions: usize,
}

impl ScoreShape {
    pub(super) fn of(scores: &Tensor, loss: &'static str) -> Result<Self> {
        match *scores.dims() {
            [batch, classes, ref rest @ ..] if batch > 0 && classes > 0 => Ok(Self {
                batch,
                classes,
                positions: rest.iter().product(),
            }),
            _ => Err(TrainingError::Targets {
                loss,
                expected: "an output (N, K, ..)".to_string(),
                actual: format!("{:?}", scores.dims()),
            }
            .into()),
        }
    }

    /// Scores of one example.
    pub(super) fn per_example(&self) -> usize {
        self.classes * self.positions
    }
}

/// Whether two tensors hold a batch of the same size and the same axes, apart
/// from axes of size 1.
pub(in crate::train) fn have_same_layout(one: &Tensor, other: &Tensor) -> bool {
    let long_axes = |tensor: &Tensor| -> Vec<usize> {
        let axes = tensor.dims().iter().skip(1).copied();
        axes.filter(|&size| size != 1).collect()
    };
    one.dims().first() == other.dims().first() && long_axes(one) == long_axes(other)
}

pub(in crate::train) fn f64_values(tensor: &Tensor) -> Result<Vec<f64>> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?.flatten_all()?;
    Ok(tensor.to_dtype(DType::F64)?.to_vec1()?)
}
