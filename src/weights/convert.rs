//! From stored bytes to tensors, and from stored layouts to PyTorch's.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::formats::header::{Entry, invalid};
use crate::error::{Error, Result};
use crate::graph::Layout;

/// Bytes that are copied before they are released, so that a large tensor is
/// never in memory twice.
const PIECE_BYTES: usize = 8 << 20;

/// The types that weights can have.
const WEIGHT_DTYPES: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::BF16];

/// The name of a type in safetensors files.
pub(crate) fn dtype_name(dtype: DType) -> String {
    dtype.as_str().to_ascii_uppercase()
}

/// The type of weights that has this name in safetensors files.
pub(crate) fn weight_dtype(name: &str) -> Option<DType> {
    let mut dtypes = WEIGHT_DTYPES.into_iter();
    dtypes.find(|&dtype| dtype_name(dtype) == name)
}

/// As [`check_weight_dtype`], for the name of a type in safetensors files.
pub(super) fn check_stored_dtype(key: &str, file: &str, dtype: &str) -> Result<()> {
    match weight_dtype(dtype) {
        Some(_) => Ok(()),
        None => Err(dtype_error(key, file, dtype)),
    }
}

pub(super) fn check_weight_dtype(key: &str, file: &str, dtype: DType) -> Result<()> {
    match WEIGHT_DTYPES.contains(&dtype) {
        true => Ok(()),
        false => Err(dtype_error(key, file, dtype.as_str())),
    }
}

pub(super) fn dtype_error(key: &str, file: &str, dtype: &str) -> Error {
    Error::TensorDtype {
        key: key.to_string(),
        file: file.to_string(),
        dtype: dtype.to_string(),
    }
}

/// The tensor with these little-endian bytes, at any alignment. `release` is
/// called with each range of them that has been copied.
pub(super) fn tensor_from_bytes(
    (key, entry): (&str, &Entry),
    bytes: &[u8],
    file: &str,
    release: impl Fn(Range<usize>),
) -> Result<Tensor> {
    let dtype = weight_dtype(&entry.dtype);
    let dtype = dtype.ok_or_else(|| dtype_error(key, file, &entry.dtype))?;
    let (expected, actual) = (entry.bytes(), bytes.len() as u64);
    if actual != expected {
        let reason = format!("tensor \"{key}\" takes {expected} bytes, but {actual} were read");
        return Err(invalid(file, reason));
    }
    let shape = entry.shape.as_slice();
    let device = &Device::Cpu;
    let tensor = match dtype {
        DType::F16 => Tensor::from_vec(elements(bytes, f16::from_le_bytes, release), shape, device),
        DType::BF16 => {
            Tensor::from_vec(elements(bytes, bf16::from_le_bytes, release), shape, device)
        }
        DType::F64 => Tensor::from_vec(elements(bytes, f64::from_le_bytes, release), shape, device),
        _ => Tensor::from_vec(elements(bytes, f32::from_le_bytes, release), shape, device),
    };
    Ok(tensor?)
}

fn elements<T, const WIDTH: usize>(
    bytes: &[u8],
    read: impl Fn([u8; WIDTH]) -> T,
    release: impl Fn(Range<usize>),
) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<WIDTH>();
    let mut elements = Vec::with_capacity(chunks.len());
    let mut start = 0;
    for piece in chunks.chunks(PIECE_BYTES / WIDTH) {
        elements.extend(piece.iter().map(|&chunk| read(chunk)));
        let end = start + size_of_val(piece);
        release(start..end);
        start = end;
    }
    elements
}

/// The parameter of this shape that is stored in a layout. The caller has
/// compared the stored shape with [`Layout::stored_shape`].
pub(super) fn undo_layout(stored: Tensor, layout: Layout, shape: &[usize]) -> Result<Tensor> {
    let tensor = match (layout, shape) {
        (Layout::DenseAsConv { .. } | Layout::DenseAsPointwise, &[_, _]) => {
            stored.reshape(shape)?
        }
        (Layout::Hwio, &[_, _, _, _]) => stored.permute((3, 2, 0, 1))?.contiguous()?,
        (Layout::InOut, &[_, _]) => stored.t()?.contiguous()?,
        (
            Layout::InOutHwc {
                channels,
                height,
                width,
            },
            &[out, _],
        ) => stored
            .reshape((height, width, channels, out))?
            .permute((3, 2, 0, 1))?
            .reshape(shape)?,
        _ => stored,
    };
    Ok(tensor)
}
