//! Reading and differentiating tensors of any type and device.

use candle_core::{DType, Device, Tensor, Var};

use crate::error::Result;

pub(super) fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    Ok(flat.to_dtype(DType::F32)?.to_vec1()?)
}

pub(super) fn number(scalar: &Tensor) -> Result<f64> {
    Ok(scalar.to_dtype(DType::F64)?.to_scalar()?)
}

/// The gradient of a scalar; zeros if it does not depend on the variable.
pub(super) fn gradient(of: &Tensor, variable: &Var) -> Result<Tensor> {
    match of.backward()?.remove(variable) {
        Some(gradient) => Ok(gradient),
        None => Ok(variable.zeros_like()?),
    }
}

/// The indices of the sums, largest sum first; equal sums by index.
pub(super) fn largest_first(sums: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
    order
}
