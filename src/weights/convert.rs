//! From stored bytes to tensors, and from stored layouts to PyTorch's.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::header::{Entry, invalid};
use crate::error::{Error, Result};
use crate::graph::Layout;

/// Bytes that are copied before they are released: at a large tensor's end
/// not all of it should be in memory twice.
const PIECE_BYTES: usize = 8 << 20;

/// The tensor that `bytes` hold, little-endian and at any alignment; `release`
/// is told which of them have been copied as soon as they are.
pub(super) fn tensor_from_bytes(
    (key, entry): (&str, &Entry),
    bytes: &[u8],
    file: &str,
    release: impl Fn(Range<usize>),
) -> Result<Tensor> {
    let dtype = entry.weight_dtype().ok_or_else(|| Error::TensorDtype {
        key: key.to_string(),
        file: file.to_string(),
        dtype: entry.dtype.clone(),
    })?;
    if bytes.len() as u64 != entry.bytes() {
        return Err(invalid(
            file,
            format!(
                "tensor \"{key}\" takes {} bytes, but {} were read",
                entry.bytes(),
                bytes.len()
            ),
        ));
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

/// The parameter of `shape` that `stored` holds in `layout`.
///
/// The caller has compared the stored shape with
/// [`Layout::stored_shape`]; anything else is candle's error.
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
