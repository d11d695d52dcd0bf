//! The definitions, as loops in double precision.

use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, DenseSizes, FilterGradient, Gated, Pool2dConfig, Pool2dGeometry,
};

/// Calls `visit(output, input, weight)` with the index of every product.
fn products(geometry: &Conv2dGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let Conv2dConfig {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        groups,
        ..
    } = *geometry.config();
    let Conv2dConfig {
        kernel_size,
        stride,
        dilation,
        padding,
        ..
    } = *geometry.config();
    let out = geometry.out_size();
    let (ins, outs) = (in_channels / groups, out_channels / groups);
    for n in 0..batch {
        for oy in 0..out.height {
            for ox in 0..out.width {
                for ky in 0..kernel_size.height {
                    for kx in 0..kernel_size.width {
                        let y =
                            (oy * stride.height + ky * dilation.height).wrapping_sub(padding.top);
                        let x =
                            (ox * stride.width + kx * dilation.width).wrapping_sub(padding.left);
                        if y >= height || x >= width {
                            continue;
                        }
                        for o in 0..out_channels {
                            for i in 0..ins {
                                let channel = o / outs * ins + i;
                                visit(
                                    ((n * out.height + oy) * out.width + ox) * out_channels + o,
                                    ((n * height + y) * width + x) * in_channels + channel,
                                    ((o * ins + i) * kernel_size.height + ky) * kernel_size.width
                                        + kx,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn conv2d(geometry: &Conv2dGeometry, input: &[f32], weights: &[f32]) -> Vec<f64> {
    let mut output = vec![0.0; geometry.output_len()];
    products(geometry, |o, i, w| {
        output[o] += f64::from(input[i]) * f64::from(weights[w])
    });
    output
}

/// Bias and ReLU over (.., C).
pub(super) fn finish(mut sums: Vec<f64>, bias: &[f32], relu: bool) -> Vec<f64> {
    for (i, value) in sums.iter_mut().enumerate() {
        *value += f64::from(bias[i % bias.len()]);
        *value = if relu { value.max(0.0) } else { *value };
    }
    sums
}

/// The gradient seen through its ReLU.
pub(super) fn gated(grad: Gated) -> Vec<f64> {
    let pass = |i: usize| grad.gate.is_none_or(|gate| gate[i] > 0.0);
    grad.values
        .iter()
        .enumerate()
        .map(|(i, &g)| if pass(i) { f64::from(g) } else { 0.0 })
        .collect()
}

pub(super) fn input_gradient(geometry: &Conv2dGeometry, weights: &[f32], grad: Gated) -> Vec<f64> {
    let grad = gated(grad);
    let mut output = vec![0.0; geometry.input_len()];
    products(geometry, |o, i, w| {
        output[i] += grad[o] * f64::from(weights[w])
    });
    output
}

pub(super) fn filter_gradient(geometry: &Conv2dGeometry, gradient: &FilterGradient) -> Vec<f64> {
    let grad = gated(gradient.grad_output);
    let mut output = vec![0.0; geometry.filter_len()];
    products(geometry, |o, i, w| {
        output[w] += grad[o] * f64::from(gradient.input[i])
    });
    output
}

/// The input pixels of every window: calls `visit(output, inputs)`.
fn windows(geometry: &Pool2dGeometry, mut visit: impl FnMut(usize, &[usize])) {
    let Pool2dConfig {
        batch,
        height,
        width,
        channels,
        kernel_size,
        stride,
        padding,
    } = *geometry.config();
    let out = geometry.out_size();
    for n in 0..batch {
        for (oy, ox) in (0..out.height).flat_map(|y| (0..out.width).map(move |x| (y, x))) {
            for c in 0..channels {
                let mut inputs = Vec::new();
                for (ky, kx) in (0..kernel_size.height)
                    .flat_map(|y| (0..kernel_size.width).map(move |x| (y, x)))
                {
                    let y = (oy * stride.height + ky).wrapping_sub(padding.top);
                    let x = (ox * stride.width + kx).wrapping_sub(padding.left);
                    if y < height && x < width {
                        inputs.push(((n * height + y) * width + x) * channels + c);
                    }
                }
                visit(
                    ((n * out.height + oy) * out.width + ox) * channels + c,
                    &inputs,
                );
            }
        }
    }
}

pub(super) fn max_pool2d(geometry: &Pool2dGeometry, input: &[f32]) -> Vec<f64> {
    let mut output = vec![0.0; geometry.output_len()];
    windows(geometry, |o, inputs| {
        output[o] = inputs
            .iter()
            .map(|&i| f64::from(input[i]))
            .fold(f64::NEG_INFINITY, f64::max);
    });
    output
}

pub(super) fn max_pool2d_gradient(
    geometry: &Pool2dGeometry,
    input: &[f32],
    grad: &[f32],
) -> Vec<f64> {
    let mut output = vec![0.0; geometry.input_len()];
    windows(geometry, |o, inputs| {
        let largest = inputs
            .iter()
            .map(|&i| input[i])
            .fold(f32::NEG_INFINITY, f32::max);
        let first = inputs.iter().find(|&&i| input[i] == largest).unwrap();
        output[*first] += f64::from(grad[o]);
    });
    output
}

pub(super) fn avg_pool2d(geometry: &Pool2dGeometry, input: &[f32]) -> Vec<f64> {
    let mut output = vec![0.0; geometry.output_len()];
    windows(geometry, |o, inputs| {
        output[o] = inputs.iter().map(|&i| f64::from(input[i])).sum::<f64>() / inputs.len() as f64;
    });
    output
}

pub(super) fn avg_pool2d_gradient(geometry: &Pool2dGeometry, grad: &[f32]) -> Vec<f64> {
    let mut output = vec![0.0; geometry.input_len()];
    windows(geometry, |o, inputs| {
        for &i in inputs {
            output[i] += f64::from(grad[o]) / inputs.len() as f64;
        }
    });
    output
}

/// Calls `visit(image, input, output)` for every product of a dense layer.
pub(super) fn dense(sizes: DenseSizes, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..sizes.batch {
        for o in 0..sizes.outputs {
            for i in 0..sizes.inputs {
                visit(n, i, o);
            }
        }
    }
}

/// The sums of `channels` columns, and those of their magnitudes.
pub(super) fn bias_gradient(gradient: &FilterGradient, channels: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); channels];
    for (i, value) in gated(gradient.grad_output).into_iter().enumerate() {
        let (sum, magnitude) = &mut sums[i % channels];
        *sum += value;
        *magnitude += value.abs();
    }
    sums
}
