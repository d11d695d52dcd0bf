//! Numbers of tensors of any type and device.

use candle_core::{DType, Device, Tensor, Var};

use crate::error::Result;
use crate::ops;
pub(super) use crate::ops::wide_type;

/// All values of a tensor on any device, in f32.
pub(super) fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    Ok(flat.to_dtype(DType::F32)?.to_vec1()?)
}

/// A tensor in its [`wide_type`].
pub(super) fn wide(tensor: &Tensor) -> Result<Tensor> {
    Ok(ops::wide(tensor)?)
}

/// The mean squared difference, a scalar.
pub(super) fn mean_square(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(ops::mean_square(a, b)?)
}

/// The gradient of a scalar; zeros if it does not depend on the variable.
pub(super) fn gradient(of: &Tensor, variable: &Var) -> Result<Tensor> {
    let gradients = of.backward()?;
    match gradients.get(variable) {
        Some(gradient) => Ok(gradient.clone()),
        None => Ok(variable.zeros_like()?),
    }
}
