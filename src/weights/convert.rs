//! From stored bytes to tensors, and from stored layouts to PyTorch's.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::formats::header::{Entry, invalid};
use crate::error::{Error, Result};
use crate::graph::Layout;

/// Bytes that are read at once, a multiple of every type's width: few enough to
/// stay in the cache of a core until they are converted.
const PIECE_BYTES: u64 = 256 << 10;

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

/// The tensor with these little-endian bytes.
pub(super) fn tensor_from_bytes(
    stored: (&str, &Entry),
    bytes: &[u8],
    file: &str,
) -> Result<Tensor> {
    tensor_from(stored, bytes.len() as u64, file, |at, piece| {
        // The caller asks for what lies within `bytes`.
        let at = at as usize;
        piece.copy_from_slice(&bytes[at..at + piece.len()]);
        Ok(())
    })
}

/// The tensor with so many little-endian bytes, which `read` copies piece by
/// piece: it is given where a piece begins, and fills it.
pub(super) fn tensor_from(
    (key, entry): (&str, &Entry),
    bytes: u64,
    file: &str,
    read: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<Tensor> {
    let dtype = weight_dtype(&entry.dtype);
    let dtype = dtype.ok_or_else(|| dtype_error(key, file, &entry.dtype))?;
    let expected = entry.bytes();
    if bytes != expected {
        let reason = format!("tensor \"{key}\" takes {expected} bytes, but {bytes} were read");
        return Err(invalid(file, reason));
    }
    let shape = entry.shape.as_slice();
    let device = &Device::Cpu;
    let tensor = match dtype {
        DType::F16 => Tensor::from_vec(elements(bytes, f16::from_le_bytes, read)?, shape, device),
        DType::BF16 => Tensor::from_vec(elements(bytes, bf16::from_le_bytes, read)?, shape, device),
        DType::F64 => Tensor::from_vec(elements(bytes, f64::from_le_bytes, read)?, shape, device),
        _ => Tensor::from_vec(elements(bytes, f32::from_le_bytes, read)?, shape, device),
    };
    Ok(tensor?)
}

fn elements<T, const WIDTH: usize>(
    bytes: u64,
    convert: impl Fn([u8; WIDTH]) -> T,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<Vec<T>> {
    // The caller has compared the length with that of the file.
    let mut elements = Vec::with_capacity(bytes as usize / WIDTH);
    let mut buffer = vec![0; bytes.min(PIECE_BYTES) as usize];
    let mut at = 0;
    while at < bytes {
        let length = (bytes - at).min(PIECE_BYTES);
        let piece = &mut buffer[..length as usize];
        read(at, piece)?;
        let (chunks, _) = piece.as_chunks::<WIDTH>();
        elements.extend(chunks.iter().map(|&chunk| convert(chunk)));
        at += length;
    }
    Ok(elements)
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
