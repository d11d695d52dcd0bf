use candle_core::Tensor;

use crate::error::Result;
use crate::explain::numbers::{mean_square, wide_type};

/// How much neighboring values of feature maps `(N, C, H, W)` differ: the mean of the
/// squared differences along columns plus that along rows, a scalar, in f32 if
/// they are in half precision. Gradients are recorded. Source: Mahendran
/// and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
/// 2015, section 3, with beta = 2.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for a tensor of other dimensions.
pub fn total_variation(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let mut total = Tensor::zeros((), wide_type(x.dtype()), x.device())?;
    for (dimension, side) in [(2, height), (3, width)] {
        if side > 1 {
            let after = x.narrow(dimension, 1, side - 1)?;
            let before = x.narrow(dimension, 0, side - 1)?;
            total = (total + mean_square(&after, &before)?)?;
        }
    }
    Ok(total)
}
