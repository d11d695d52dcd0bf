//! Tensors as bytes, and as a safetensors file: piece by piece, so that no
//! tensor is in memory twice.

use std::collections::BTreeMap;
use std::io;

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use super::convert::{dtype_error, dtype_name};
use super::formats::header::MAX_JSON_BYTES;
use crate::error::Result;
use crate::files::Output;

/// Values that are converted to bytes at once.
const CHUNK: usize = 1 << 18;

/// The types that [`write_values`] knows.
const WRITTEN: [DType; 9] = [
    DType::F64,
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::U8,
    DType::U32,
    DType::I16,
    DType::I32,
    DType::I64,
];

/// Writes tensors as a safetensors file, in the order of the safetensors
/// crate: wide types first, then by name.
///
/// # Errors
/// `Error::Io`; `Error::TensorDtype` for a type that this writer does not
/// know.
pub(crate) fn write_safetensors(
    out: &mut Output<'_>,
    metadata: &BTreeMap<String, String>,
    tensors: &[(String, Tensor)],
) -> Result<()> {
    let mut ordered: Vec<&(String, Tensor)> = tensors.iter().collect();
    ordered.sort_by_key(|(name, tensor)| {
        let width = tensor.dtype().size_in_bytes();
        (std::cmp::Reverse(width), name.as_str())
    });
    let mut header = Map::new();
    header.insert("__metadata__".to_string(), json!(metadata));
    let mut end = 0;
    for (name, tensor) in &ordered {
        let (begin, dtype) = (end, tensor.dtype());
        if !WRITTEN.contains(&dtype) {
            return Err(dtype_error(name, "memory", dtype.as_str()));
        }
        end += tensor.elem_count() * dtype.size_in_bytes();
        let entry = json!({
            "dtype": dtype_name(dtype),
            "shape": tensor.dims(),
            "data_offsets": [begin, end],
        });
        header.insert(name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    // The data begins at a multiple of eight bytes.
    text.extend(std::iter::repeat_n(
        ' ',
        text.len().next_multiple_of(8) - text.len(),
    ));
    let length = text.len() as u64;
    if length > MAX_JSON_BYTES {
        let reason = format!("the header takes {length} bytes; {MAX_JSON_BYTES} is the limit");
        return Err(out.error(io::Error::new(io::ErrorKind::FileTooLarge, reason)));
    }
    out.write(&length.to_le_bytes())?;
    out.write(text.as_bytes())?;
    for (_, tensor) in ordered {
        write_values(tensor, &mut |bytes| out.write(bytes))?;
    }
    Ok(())
}

/// Passes a tensor's values to `write` in row order, as little-endian bytes,
/// piece by piece.
pub(crate) fn write_values(
    tensor: &Tensor,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    fn bytes<T: Copy, const WIDTH: usize>(values: Vec<T>, to: fn(T) -> [u8; WIDTH]) -> Vec<u8> {
        values.into_iter().flat_map(to).collect()
    }
    let flat = tensor.detach().flatten_all()?;
    let count = flat.elem_count();
    let mut start = 0;
    while start < count {
        let length = CHUNK.min(count - start);
        let piece = flat.narrow(0, start, length)?;
        let piece = match piece.dtype() {
            DType::F64 => bytes(piece.to_vec1()?, f64::to_le_bytes),
            DType::F16 => bytes(piece.to_vec1()?, half::f16::to_le_bytes),
            DType::BF16 => bytes(piece.to_vec1()?, half::bf16::to_le_bytes),
            DType::U8 => piece.to_vec1()?,
            DType::U32 => bytes(piece.to_vec1()?, u32::to_le_bytes),
            DType::I16 => bytes(piece.to_vec1()?, i16::to_le_bytes),
            DType::I32 => bytes(piece.to_vec1()?, i32::to_le_bytes),
            DType::I64 => bytes(piece.to_vec1()?, i64::to_le_bytes),
            _ => bytes(piece.to_vec1()?, f32::to_le_bytes),
        };
        write(&piece)?;
        start += length;
    }
    Ok(())
}
