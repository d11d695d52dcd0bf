//! From stored bytes to tensors, and from stored layouts to PyTorch's.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::header::{Entry, invalid};
use crate::error::{Error, Result};
use crate::graph::Layout;

/// The tensor that `bytes` hold, little-endian and at any alignment.
pub(super) fn tensor_from_bytes(
    key: &str,
    entry: &Entry,
    bytes: &[u8],
    file: &str,
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
        DType::F16 => Tensor::from_vec(elements(bytes, f16::from_le_bytes), shape, device),
        DType::BF16 => Tensor::from_vec(elements(bytes, bf16::from_le_bytes), shape, device),
        DType::F64 => Tensor::from_vec(elements(bytes, f64::from_le_bytes), shape, device),
        _ => Tensor::from_vec(elements(bytes, f32::from_le_bytes), shape, device),
    };
    Ok(tensor?)
}

fn elements<T, const WIDTH: usize>(bytes: &[u8], read: fn([u8; WIDTH]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<WIDTH>();
    chunks.iter().map(|&chunk| read(chunk)).collect()
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
