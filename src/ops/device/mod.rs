//! Steps in candle's own operators, for every device and type.

mod conv;
mod dense;
mod pool;

pub(super) use conv::conv2d;
pub(super) use dense::dense;
pub(super) use pool::{
    adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d,
};

use candle_core::{Result, Tensor};

use super::activation::relu;
use super::merge::{dropout, flatten};
use super::norm::batch_norm;
use super::step::{Affine, Step};

pub(super) fn apply(x: &Tensor, step: &Step) -> Result<Tensor> {
    match step {
        Step::Conv2d(convolution, affine) => {
            let y = conv2d(x, &affine.weight, affine.bias.as_ref(), *convolution)?;
            finish(y, affine)
        }
        Step::Dense(affine) => {
            let weight = affine.weight.to_dtype(x.dtype())?;
            finish(dense(x, &weight, affine.bias.as_ref())?, affine)
        }
        Step::BatchNorm(norm) => {
            batch_norm(x, &norm.statistics, &norm.weight, &norm.bias, norm.eps)
        }
        Step::MaxPool2d(window) => max_pool2d(x, *window),
        Step::AvgPool2d(window) => avg_pool2d(x, *window),
        Step::AdaptiveAvgPool2d(size) => adaptive_avg_pool2d(x, *size),
        Step::GlobalAvgPool2d => global_avg_pool2d(x),
        Step::GlobalMaxPool2d => global_max_pool2d(x),
        Step::Relu => relu(x),
        Step::Flatten(order) => flatten(x, *order),
        Step::Dropout { rate, seed } => dropout(x, *rate, *seed),
        Step::Watch(_) => candle_core::bail!("maps are watched in f32 on the CPU alone"),
    }
}

fn finish(y: Tensor, affine: &Affine) -> Result<Tensor> {
    if affine.relu { relu(&y) } else { Ok(y) }
}
