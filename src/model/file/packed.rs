//! Rounded weights in the few bytes that they need.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::Precision;
use crate::weights::Opened;

use super::super::int8::int8_steps;

/// Where the factors of a tensor of whole numbers stand, a value for each row.
pub(super) fn scale_key(key: &str) -> String {
    format!("{key}_scale")
}

/// What whole numbers from -127 to 127 are stored with, as bytes.
const ZERO: f64 = 128.0;

/// The tensors that a parameter is stored as: of the precision it was rounded
/// to, if it still has values of that.
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
    let scale = scale.to_dtype(DType::F32)?;
    let bytes = (steps + ZERO)?.to_dtype(DType::U8)?;
    let again = unpack(&bytes, &scale.flatten_all()?)?.to_dtype(tensor.dtype())?;
    let tensor = tensor.to_device(&Device::Cpu)?;
    let same = equal(&again, &tensor)?;
    let scale = (scale_key(key), scale.flatten_all()?);
    Ok(same.then(|| vec![(key.to_string(), bytes), scale]))
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

/// The weights of these names and shapes, which a file is known to hold as
/// bytes and factors.
pub(super) fn read_bytes(opened: &Opened, weights: &[(String, [usize; 2])]) -> Result<Vec<Tensor>> {
    let mut read = Vec::with_capacity(weights.len());
    for &(ref key, [rows, columns]) in weights {
        let (scale, _) = opened.raw(&scale_key(key))?.as_chunks::<4>();
        let scale = scale.iter().map(|&value| f32::from_le_bytes(value));
        let bytes = Tensor::from_slice(opened.raw(key)?, (rows, columns), &Device::Cpu)?;
        let scale = Tensor::from_vec(scale.collect::<Vec<f32>>(), rows, &Device::Cpu)?;
        read.push(unpack(&bytes, &scale)?);
    }
    Ok(read)
}
