//! Numbers of tensors of any type and device.

use candle_core::{DType, Device, Tensor, Var};

use crate::error::Result;

/// All values of a tensor on any device, in f32.
pub(super) fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    Ok(flat.to_dtype(DType::F32)?.to_vec1()?)
}

/// The type in which values of this type are summed: candle sums in the type
/// itself, in which sums of many values end early or overflow if it is of
/// half precision.
pub(super) fn wide_type(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        wide => wide,
    }
}

/// A tensor in its [`wide_type`].
pub(super) fn wide(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_dtype(wide_type(tensor.dtype()))?)
}

/// The mean squared difference, a scalar.
pub(super) fn mean_square(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((wide(a)? - wide(b)?)?.sqr()?.mean_all()?)
}

/// The gradient of a scalar; zeros if it does not depend on the variable.
pub(super) fn gradient(of: &Tensor, variable: &Var) -> Result<Tensor> {
    let gradients = of.backward()?;
    match gradients.get(variable) {
        Some(gradient) => Ok(gradient.clone()),
        None => Ok(variable.zeros_like()?),
    }
}
