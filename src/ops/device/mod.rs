//! Runs instructions with candle's operators, on every device and type. A tensor
//! `(N, C, H, W)` or `(N, F)` comes in; another one goes out, with its gradient.

mod conv;
mod pool;

pub(super) use conv::conv2d;
pub(super) use pool::{
    adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d,
};

use candle_core::{Result, Tensor};

use super::activation::relu;
use super::instruction::{Instruction, PoolKind};
use super::merge::{dropout, flatten};
use super::parameters::Parameters;

/// Runs an instruction, which must not be fused with others, on `x`, `(N, C, H,
/// W)` or `(N, F)`.
pub(super) fn apply(x: &Tensor, instruction: &Instruction) -> Result<Tensor> {
    match instruction {
        Instruction::Conv2d(conv) => {
            let Parameters { weight, bias, .. } = conv.parameters.recorded();
            conv2d(x, &weight, bias.as_ref(), conv.convolution)
        }
        Instruction::Dense(layer) => {
            let Parameters { weight, bias, .. } = layer.parameters.recorded();
            dense(x, &weight.to_dtype(x.dtype())?, bias.as_ref())
        }
        Instruction::Pool(pool) => match pool.kind {
            PoolKind::Max(window) => max_pool2d(x, window),
            PoolKind::Avg(window) => avg_pool2d(x, window),
            PoolKind::AdaptiveAvg(size) => adaptive_avg_pool2d(x, size),
            PoolKind::GlobalAvg => global_avg_pool2d(x),
            PoolKind::GlobalMax => global_max_pool2d(x),
        },
        Instruction::BatchNorm(norm) => norm.tensors.apply(x),
        Instruction::Relu => relu(x),
        Instruction::Dropout { rate, seeds } => dropout(x, *rate, seeds.next()),
        Instruction::Flatten { order, .. } => flatten(x, *order),
        Instruction::Loss { .. } => {
            candle_core::bail!("losses are taken on the way in f32 on the CPU alone")
        }
    }
}

/// `x` `(N, F)`, `weight` `(O, F)`, `bias` `(O)`.
pub(super) fn dense(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
