use candle_core::{Result, Tensor};

use crate::layers::{Margins, Window};

use crate::ops::merge::zero_pad2d;
use crate::ops::parameters::Convolution;

/// `x` `(N, C, H, W)`, `weight` `(O, C / groups, kH, kW)`, `bias` `(O)`.
pub(in crate::ops) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    convolution: Convolution,
) -> Result<Tensor> {
    let Convolution { window, groups } = convolution;
    let (_, _, height, width) = x.dims4()?;
    let margins = window.margins(height, width);
    let (padded, padding) = match even(margins) {
        Some(padding) if window.stride == (1, 1) => (x.clone(), padding),
        _ => (covered(&zero_pad2d(x, margins)?, window)?, 0),
    };
    let (dilation_y, dilation_x) = window.dilation;
    let (weight, dilation) = if dilation_y == dilation_x {
        (weight.clone(), dilation_y)
    } else {
        (dilated(weight, window.dilation)?, 1)
    };
    let (stride_y, stride_x) = window.stride;
    let stride = if stride_y == stride_x { stride_y } else { 1 };
    let mut y = padded.conv2d(&weight, padding, stride, dilation, groups)?;
    if stride_y != stride_x {
        y = every_nth(&every_nth(&y, 2, stride_y)?, 3, stride_x)?;
    }
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// Crops a padded feature map to the pixels under any window. At a stride above 1,
/// candle's gradient is right only if no rows or columns are left over.
fn covered(x: &Tensor, window: Window) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let reach = window.reach();
    let under = |side: usize, reach: usize, stride: usize| {
        let free = side.saturating_sub(reach);
        reach + free / stride * stride
    };
    let rows = under(height, reach.0, window.stride.0);
    let columns = under(width, reach.1, window.stride.1);
    if (rows, columns) == (height, width) {
        return Ok(x.clone());
    }
    x.narrow(2, 0, rows)?.narrow(3, 0, columns)?.contiguous()
}

/// The padding, if it is the same on all four sides, as candle requires.
fn even(margins: Margins) -> Option<usize> {
    (margins == Margins::all(margins.top)).then_some(margins.top)
}

fn every_nth(x: &Tensor, dim: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let length = x.dim(dim)?;
    let indices: Vec<u32> = (0..length)
        .step_by(step)
        .map(|index| u32::try_from(index).map_err(candle_core::Error::wrap))
        .collect::<Result<_>>()?;
    x.index_select(&Tensor::new(indices, x.device())?, dim)
}

/// The kernel with zeros between its taps: candle has one dilation for both
/// axes.
fn dilated(weight: &Tensor, (vertical, horizontal): (usize, usize)) -> Result<Tensor> {
    let (out_channels, in_channels, height, width) = weight.dims4()?;
    weight
        .reshape((out_channels * in_channels, height, 1, width, 1))?
        .pad_with_zeros(2, 0, vertical - 1)?
        .pad_with_zeros(4, 0, horizontal - 1)?
        .reshape((
            out_channels,
            in_channels,
            height * vertical,
            width * horizontal,
        ))?
        .narrow(2, 0, (height - 1) * vertical + 1)?
        .narrow(3, 0, (width - 1) * horizontal + 1)?
        .contiguous()
}
