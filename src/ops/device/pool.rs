use candle_core::{D, Result, Tensor};

use crate::layers::{Margins, Window};

use crate::ops::resample::{Mixture, separable};

/// The largest value of each window. Padding does not count.
///
/// candle's pool is exact forward, but passes a wrong fraction of the gradient to
/// the maximum. If a gradient is needed, the windows are therefore gathered.
pub(in crate::ops) fn max_pool2d(x: &Tensor, window: Window) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let margins = window.margins(height, width);
    if margins == Margins::default() && !x.track_op() {
        return x.max_pool2d_with_stride(window.kernel_size, window.stride);
    }
    let padded = pad_with(x, margins, f64::NEG_INFINITY)?;
    let taps = windows(&padded, window)?;
    largest(&taps)
}

/// The mean of each window. Padding does not count.
pub(in crate::ops) fn avg_pool2d(x: &Tensor, window: Window) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let margins = window.margins(height, width);
    if margins == Margins::default() && !x.track_op() {
        return x.avg_pool2d_with_stride(window.kernel_size, window.stride);
    }
    let sums = windows(&pad_with(x, margins, 0.0)?, window)?.sum(D::Minus1)?;
    let ones = Tensor::ones((1, 1, height, width), x.dtype(), x.device())?;
    let counts = windows(&pad_with(&ones, margins, 0.0)?, window)?.sum(D::Minus1)?;
    sums.broadcast_div(&counts)
}

/// The mean of each channel: `(N, C, H, W)` to `(N, C)`.
pub(in crate::ops) fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    x.mean((2, 3))
}

/// The largest value of each channel: `(N, C, H, W)` to `(N, C)`.
pub(in crate::ops) fn global_max_pool2d(x: &Tensor) -> Result<Tensor> {
    largest(&x.flatten_from(2)?)
}

/// Adaptive average pooling with PyTorch's bins.
pub(in crate::ops) fn adaptive_avg_pool2d(
    x: &Tensor,
    (height, width): (usize, usize),
) -> Result<Tensor> {
    let (_, _, in_height, in_width) = x.dims4()?;
    if (in_height, in_width) == (height, width) {
        return Ok(x.clone());
    }
    separable(x, &bins(in_height, height), &bins(in_width, width))
}

fn bins(input: usize, output: usize) -> Mixture {
    let mut mixture = Mixture::zeros(output, input);
    for index in 0..output {
        let start = index * input / output;
        let end = ((index + 1) * input).div_ceil(output);
        for position in start..end {
            mixture.add(index, position, 1.0 / (end - start) as f64);
        }
    }
    mixture
}

/// The largest value along the last dimension, which is dropped. The first of
/// equal values gets the gradient.
fn largest(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let winners = x.detach().argmax_keepdim(D::Minus1)?;
    x.gather(&winners, D::Minus1)?.squeeze(D::Minus1)
}

/// The values under each window in row order, `(N, C, H', W', kH * kW)`.
fn windows(x: &Tensor, window: Window) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (kernel_height, kernel_width) = window.kernel_size;
    let (rows, out_height) = positions(height, kernel_height, window.stride.0)?;
    let (columns, out_width) = positions(width, kernel_width, window.stride.1)?;
    x.contiguous()?
        .index_select(&Tensor::new(rows, x.device())?, 2)?
        .index_select(&Tensor::new(columns, x.device())?, 3)?
        .reshape(&[
            batch,
            channels,
            out_height,
            kernel_height,
            out_width,
            kernel_width,
        ])?
        .permute(vec![0, 1, 2, 4, 3, 5])?
        .reshape((
            batch,
            channels,
            out_height,
            out_width,
            kernel_height * kernel_width,
        ))
}

/// The positions under all windows along one side, and the number of windows.
fn positions(side: usize, kernel: usize, stride: usize) -> Result<(Vec<u32>, usize)> {
    let Some(free) = side.checked_sub(kernel) else {
        candle_core::bail!("a window of {kernel} does not fit a side of {side}");
    };
    let count = free / stride + 1;
    let positions = (0..count)
        .flat_map(|index| index * stride..index * stride + kernel)
        .map(|position| u32::try_from(position).map_err(candle_core::Error::wrap))
        .collect::<Result<_>>()?;
    Ok((positions, count))
}

fn pad_with(x: &Tensor, margins: Margins, value: f64) -> Result<Tensor> {
    let block = |x: &Tensor, dim: usize, length: usize| {
        let mut shape = x.dims().to_vec();
        shape[dim] = length;
        Tensor::full(value as f32, shape, x.device())?.to_dtype(x.dtype())
    };
    let mut padded = x.clone();
    for (dim, before, after) in [
        (2, margins.top, margins.bottom),
        (3, margins.left, margins.right),
    ] {
        let mut parts = Vec::with_capacity(3);
        if before > 0 {
            parts.push(block(&padded, dim, before)?);
        }
        parts.push(padded.clone());
        if after > 0 {
            parts.push(block(&padded, dim, after)?);
        }
        padded = Tensor::cat(&parts, dim)?;
    }
    Ok(padded)
}
