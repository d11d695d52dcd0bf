use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// Values that are summed one after the other; sums of these are added in
/// their order, so that the threads make no difference.
const SPAN: usize = 1 << 15;

/// Whether no value is NaN or infinite.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    let on_cpu_f32 = tensor.device().is_cpu() && tensor.dtype() == DType::F32;
    if !on_cpu_f32 {
        // 0 times what is not finite is NaN.
        let sum = (tensor * 0.0)?.sum_all()?.to_dtype(DType::F32)?;
        return Ok(sum.to_scalar::<f32>()?.is_finite());
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (candle_core::Storage::Cpu(storage), Some((start, end))) =
        (&*storage, layout.contiguous_offsets())
    else {
        candle_core::bail!("a gradient on the CPU is contiguous once it is made so");
    };
    let spans = storage.as_slice::<f32>()?[start..end].par_chunks(SPAN);
    // No early end within a span, so that it is one pass of wide instructions.
    let finite = |span: &[f32]| span.iter().fold(true, |all, v| all & v.is_finite());
    Ok(spans.all(finite))
}

/// The sum of squares of all values.
pub(super) fn square_sum(tensor: &Tensor) -> Result<f64> {
    let on_cpu_f32 = tensor.device().is_cpu() && tensor.dtype() == DType::F32;
    if !on_cpu_f32 {
        let sum = tensor.to_dtype(DType::F32)?.sqr()?.sum_all()?;
        return Ok(sum.to_scalar::<f32>()?.into());
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (candle_core::Storage::Cpu(storage), Some((start, end))) =
        (&*storage, layout.contiguous_offsets())
    else {
        candle_core::bail!("a gradient on the CPU is contiguous once it is made so");
    };
    let sums: Vec<f64> = storage.as_slice::<f32>()?[start..end]
        .par_chunks(SPAN)
        .map(|values| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum())
        .collect();
    Ok(sums.iter().sum())
}
