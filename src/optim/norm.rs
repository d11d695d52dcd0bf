use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// Values that one thread sums. The sums are added in order, so the number of
/// threads makes no difference.
const SPAN: usize = 1 << 15;

/// The result for each span of values, in order; `None` if the tensor is not
/// f32 on the CPU.
fn by_span<R: Send>(
    tensor: &Tensor,
    of: impl Fn(&[f32]) -> R + Send + Sync,
) -> Result<Option<Vec<R>>> {
    if !tensor.device().is_cpu() || tensor.dtype() != DType::F32 {
        return Ok(None);
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (candle_core::Storage::Cpu(storage), Some((start, end))) =
        (&*storage, layout.contiguous_offsets())
    else {
        candle_core::bail!("a gradient on the CPU is contiguous once it is made so");
    };
    let spans = storage.as_slice::<f32>()?[start..end].par_chunks(SPAN);
    Ok(Some(spans.map(of).collect()))
}

/// The largest absolute value: f32's largest number if it is not known because the
/// values are not f32 on the CPU, and NaN or infinity if one of them is not finite.
pub(super) fn largest(tensor: &Tensor) -> Result<f64> {
    // Bits without a sign are in the order of the numbers, infinity and NaN above all
    // others, and a maximum of integers is vectorized.
    let bits = |span: &[f32]| span.iter().fold(0, |most, v| v.abs().to_bits().max(most));
    let known = by_span::<u32>(tensor, bits)?.map(|spans| {
        let most = spans.into_iter().max().unwrap_or(0);
        f32::from_bits(most)
    });
    Ok(f64::from(match known {
        Some(largest) => largest,
        None if is_finite(tensor)? => f32::MAX,
        None => f32::NAN,
    }))
}

pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.dtype().is_int() {
        return Ok(true);
    }
    // No early exit within a span: the whole span is one vectorized pass.
    let finite = |span: &[f32]| span.iter().fold(true, |all, v| all & v.is_finite());
    if let Some(spans) = by_span(tensor, finite)? {
        return Ok(spans.into_iter().all(|finite| finite));
    }
    // 0 times a value that is not finite is NaN.
    let sum = (tensor * 0.0)?.sum_all()?.to_dtype(DType::F32)?;
    Ok(sum.to_scalar::<f32>()?.is_finite())
}

pub(super) fn square_sum(tensor: &Tensor) -> Result<f64> {
    let squares = |span: &[f32]| span.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    if let Some(sums) = by_span::<f64>(tensor, squares)? {
        return Ok(sums.iter().sum());
    }
    if tensor.elem_count() == 0 {
        return Ok(0.0);
    }
    let dtype = match tensor.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    // Squares of values up to 1 do not overflow.
    let tensor = tensor.to_dtype(dtype)?;
    let most = scalar(&tensor.abs()?.max_all()?)?;
    if most == 0.0 {
        return Ok(0.0);
    }
    Ok(most * most * scalar(&(tensor / most)?.sqr()?.sum_all()?)?)
}

fn scalar(tensor: &Tensor) -> Result<f64> {
    match tensor.dtype() {
        DType::F64 => tensor.to_scalar(),
        _ => Ok(tensor.to_scalar::<f32>()?.into()),
    }
}
