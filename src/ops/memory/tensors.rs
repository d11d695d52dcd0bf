//! Converts between candle's tensors and slices with the channels last.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

use crate::kernels::{self, Size2};

use super::extent::Extent;

/// A contiguous tensor on the CPU, locked for reading.
pub(in crate::ops) struct Values<G> {
    storage: G,
    range: Range<usize>,
}

pub(in crate::ops) fn values(tensor: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(_), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        drop(storage);
        candle_core::bail!("a kernel takes contiguous tensors on the CPU");
    };
    let range = start..end;
    Ok(Values { storage, range })
}

impl<G: Deref<Target = Storage>> Values<G> {
    fn storage(&self) -> Result<&CpuStorage> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => candle_core::bail!("a kernel takes tensors on the CPU"),
        }
    }

    /// Values of f32.
    pub(in crate::ops) fn as_slice(&self) -> Result<&[f32]> {
        Ok(&self.storage()?.as_slice::<f32>()?[self.range.clone()])
    }
}

/// The values of a contiguous tensor on the CPU, converted if they are not f32.
pub(in crate::ops) fn with_slice<R>(
    tensor: &Tensor,
    work: impl FnOnce(&[f32]) -> Result<R>,
) -> Result<R> {
    work(values(&tensor.to_dtype(DType::F32)?)?.as_slice()?)
}

/// The storage of a contiguous tensor on the CPU, and the range of its values.
pub(in crate::ops) fn with_storage<R>(
    tensor: &Tensor,
    work: impl FnOnce(&CpuStorage, Range<usize>) -> Result<R>,
) -> Result<R> {
    let values = values(tensor)?;
    work(values.storage()?, values.range.clone())
}

/// The values of a small tensor, whatever its layout and type.
pub(in crate::ops) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor
        .detach()
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1()
}

/// The tensor with its channels last in memory. It is copied only if it has another
/// order.
pub(in crate::ops) fn channels_last(x: &Tensor) -> Result<Tensor> {
    let x = x.detach();
    if x.rank() == 2 {
        return x.contiguous();
    }
    let last = x.permute((0, 2, 3, 1))?;
    if last.is_contiguous() || !x.is_contiguous() {
        return last.contiguous();
    }
    let mut data = vec![0.0; x.elem_count()];
    copy_channels_last(&x, &mut data)?;
    Tensor::from_vec(data, last.shape(), &Device::Cpu)
}

pub(in crate::ops) fn copy_channels_last(x: &Tensor, target: &mut [f32]) -> Result<()> {
    if x.rank() == 4 && x.is_contiguous() {
        let planes = Extent::of(x)?.planes();
        return with_slice(x, |values| {
            kernels::transpose(planes, values, target);
            Ok(())
        });
    }
    with_slice(&channels_last(x)?, |values| {
        target.copy_from_slice(values);
        Ok(())
    })
}

/// Values with their channels last, as a view `(N, C, H, W)`.
pub(in crate::ops) fn channels_first_view(extent: Extent, data: Vec<f32>) -> Result<Tensor> {
    let Extent {
        batch, channels, ..
    } = extent;
    match extent.size {
        Some(Size2 { height, width }) => {
            let last = (batch, height, width, channels);
            Tensor::from_vec(data, last, &Device::Cpu)?.permute((0, 3, 1, 2))
        }
        None => Tensor::from_vec(data, (batch, channels), &Device::Cpu),
    }
}

/// Reorders values from channels last to `(N, C, H, W)`. Returns the shape, too.
pub(crate) fn channels_first(extent: Extent, values: &[f32]) -> (Vec<f32>, candle_core::Shape) {
    let shape = extent.dims().into();
    if extent.pixels() == 1 {
        return (values.to_vec(), shape);
    }
    let mut data = vec![0.0; values.len()];
    kernels::transpose(extent.planes().transposed(), values, &mut data);
    (data, shape)
}

/// Calls `work`, which uses candle's operators, on feature maps `(N, C, H, W)`. If
/// all have their channels last in memory, as the outputs of sequences do, `work`
/// gets views `(N, H, W, C)` that candle need not copy. Its second argument is the
/// dimension of the channels.
pub(in crate::ops) fn in_memory_order(
    maps: &[Tensor],
    work: impl FnOnce(&[Tensor], usize) -> Result<Tensor>,
) -> Result<Tensor> {
    let view = |x: &Tensor| {
        if x.rank() != 4 || x.is_contiguous() || x.track_op() {
            return None;
        }
        let last = x.permute((0, 2, 3, 1)).ok()?;
        last.is_contiguous().then_some(last)
    };
    match maps.iter().map(view).collect::<Option<Vec<_>>>() {
        Some(last) => work(&last, 3)?.permute((0, 3, 1, 2)),
        None => work(maps, 1),
    }
}
