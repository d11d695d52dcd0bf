//! Rounded weights, stored in as few bytes as they need.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::Precision;
use crate::weights::Safetensors;

use super::super::int8::int8_steps;

/// The key of the factors of an int8 tensor, one factor for each row.
pub(super) fn scale_key(key: &str) -> String {
    format!("{key}_scale")
}

/// The byte that stores 0; bytes store whole numbers from -127 to 127.
const ZERO: f64 = 128.0;

/// The tensors that store a parameter: in the precision it was rounded to, if
/// that still represents its values.
pub(super) fn pack(
    key: String,
    tensor: Tensor,
    precision: Option<Precision>,
) -> Result<Vec<(String, Tensor)>> {
    let packed = match precision {
        Some(Precision::F16) => through(&key, &tensor, DType::F16)?,
        Some(Precision::Bf16) => through(&key, &tensor, DType::BF16)?,
        Some(Precision::Int8) => in_bytes(&key, &tensor)?,
        None => None,
    };
    Ok(packed.unwrap_or_else(|| vec![(key, tensor)]))
}

type Packed = Option<Vec<(String, Tensor)>>;

fn through(key: &str, tensor: &Tensor, dtype: DType) -> Result<Packed> {
    let narrow = tensor.to_dtype(dtype)?;
    let same = equal(&narrow.to_dtype(tensor.dtype())?, tensor)?;
    Ok(same.then(|| vec![(key.to_string(), narrow)]))
}

fn in_bytes(key: &str, tensor: &Tensor) -> Result<Packed> {
    let Some((steps, scale)) = int8_steps(tensor)? else {
        return Ok(None);
    };
    let scale = scale.to_dtype(DType::F32)?.flatten_all()?;
    let bytes = (steps + ZERO)?.to_dtype(DType::U8)?;
    let again = unpack(&bytes, &scale)?.to_dtype(tensor.dtype())?;
    let same = equal(&again, &tensor.to_device(&Device::Cpu)?)?;
    Ok(same.then(|| vec![(key.to_string(), bytes), (scale_key(key), scale)]))
}

fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    let off = a.ne(b)?.to_dtype(DType::U32)?.flatten_all()?;
    Ok(off.max(0)?.to_scalar::<u32>()? == 0)
}

/// `(byte - 128) * scale`, in f32 on the CPU.
fn unpack(bytes: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let bytes = bytes.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let scale = scale.to_device(&Device::Cpu)?.unsqueeze(1)?;
    Ok((bytes - ZERO)?.broadcast_mul(&scale)?)
}

/// A matrix that a file stores as bytes and factors.
pub(super) fn read_bytes(file: &Safetensors, key: &str, shape: &[usize]) -> Result<Tensor> {
    let scale = file.raw(&scale_key(key))?;
    let (scale, _) = scale.as_chunks::<4>();
    let scale: Vec<f32> = scale.iter().copied().map(f32::from_le_bytes).collect();
    let rows = scale.len();
    let bytes = Tensor::from_vec(file.raw(key)?, shape, &Device::Cpu)?;
    unpack(&bytes, &Tensor::from_vec(scale, rows, &Device::Cpu)?)
}
