use candle_core::{Result, Tensor};

/// `x` `(N, F)`, `weight` `(O, F)`, `bias` `(O)`.
pub(in crate::ops) fn dense(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
