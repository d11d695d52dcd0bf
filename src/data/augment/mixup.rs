use candle_core::{DType, Device, Tensor};
use rand::Rng;

use crate::data::batch::{Batch, Targets};
use crate::error::{Error, Result};

use super::draw::beta;

/// torchvision's `MixUp`: each example with a fraction of the one before it in
/// the batch, the first with a fraction of the last.
pub(in crate::data) fn mix(
    batch: Batch,
    alpha: f64,
    classes: Option<usize>,
    rng: &mut impl Rng,
) -> Result<Batch> {
    let share = beta(alpha, rng);
    let targets = match batch.targets {
        Targets::Classes(chosen) => {
            let Some(classes) = classes else {
                return Err(Error::setting(
                    format!("a mixup of {alpha}"),
                    "needs the number of classes; give the data set labels",
                ));
            };
            Targets::Soft(mixed(
                &one_hot(&chosen, classes, batch.inputs.device())?,
                share,
            )?)
        }
        Targets::Soft(shares) => Targets::Soft(mixed(&shares, share)?),
        Targets::Values(values) => Targets::Values(mixed(&values, share)?),
    };
    let weights = batch.weights.as_ref();
    Ok(Batch {
        inputs: mixed(&batch.inputs, share)?,
        targets,
        weights: weights.map(|weights| mixed(weights, share)).transpose()?,
        indices: batch.indices,
    })
}

fn mixed(x: &Tensor, share: f64) -> Result<Tensor> {
    let count = x.dim(0)?;
    let x = if x.dtype().is_float() {
        x.clone()
    } else {
        x.to_dtype(DType::F32)?
    };
    let before = Tensor::cat(&[x.narrow(0, count - 1, 1)?, x.narrow(0, 0, count - 1)?], 0)?;
    Ok(((x * share)? + (before * (1.0 - share))?)?)
}

/// `(N, K)`; the classes are known to be below `K`.
fn one_hot(chosen: &[usize], classes: usize, device: &Device) -> Result<Tensor> {
    let mut shares = vec![0f32; chosen.len() * classes];
    for (row, &class) in shares.chunks_exact_mut(classes).zip(chosen) {
        row[class] = 1.0;
    }
    Ok(Tensor::from_vec(shares, (chosen.len(), classes), device)?)
}

#[cfg(test)]
#[path = "tests/mixup.rs"]
mod tests;
