use candle_core::{DType, Device, Tensor};
use rand::Rng;

use crate::data::batch::{Batch, Targets};
use crate::error::{Error, Result};

use super::draw::beta;

/// torchvision's `MixUp`: mixes each example with the previous one of the batch,
/// and the first with the last.
pub(in crate::data) fn mix(
    batch: Batch,
    alpha: f64,
    classes: Option<usize>,
    rng: &mut impl Rng,
) -> Result<Batch> {
    let fraction = beta(alpha, rng);
    let mixed = |x: &Tensor| mixed(x, fraction);
    let targets = match batch.targets {
        Targets::Classes(chosen) => {
            let Some(classes) = classes else {
                return Err(Error::setting(
                    format!("a mixup of {alpha}"),
                    "needs the number of classes; give the data set labels",
                ));
            };
            let device = batch.inputs.device();
            Targets::Soft(mixed(&one_hot(&chosen, classes, device)?)?)
        }
        Targets::Soft(fractions) => Targets::Soft(mixed(&fractions)?),
        Targets::Values(values) => Targets::Values(mixed(&values)?),
    };
    Ok(Batch {
        inputs: mixed(&batch.inputs)?,
        targets,
        weights: batch.weights.as_ref().map(mixed).transpose()?,
        indices: batch.indices,
    })
}

fn mixed(x: &Tensor, fraction: f64) -> Result<Tensor> {
    let count = x.dim(0)?;
    let x = if x.dtype().is_float() {
        x.clone()
    } else {
        x.to_dtype(DType::F32)?
    };
    let before = Tensor::cat(&[x.narrow(0, count - 1, 1)?, x.narrow(0, 0, count - 1)?], 0)?;
    Ok(((x * fraction)? + (before * (1.0 - fraction))?)?)
}

/// One-hot targets `(N, K)`, for classes below `K`.
fn one_hot(chosen: &[usize], classes: usize, device: &Device) -> Result<Tensor> {
    let mut values = vec![0f32; chosen.len() * classes];
    for (row, &class) in values.chunks_exact_mut(classes).zip(chosen) {
        row[class] = 1.0;
    }
    Ok(Tensor::from_vec(values, (chosen.len(), classes), device)?)
}
