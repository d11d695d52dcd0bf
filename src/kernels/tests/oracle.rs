//! The definitions, as loops in double precision.

use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, DenseSizes, FeatureMaps, FilterGradient, Gated, Pool2dConfig,
};

/// Calls `visit(output, input, weight)` with the index of every product.
fn products(geometry: &Conv2dGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let Conv2dConfig {
        batch,
        size,
        in_channels,
        out_channels,
        groups,
        kernel_size,
        stride,
        dilation,
        padding,
    } = *geometry.config();
    let (height, width) = (size.height, size.width);
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

pub(crate) fn conv2d<T: Copy + Into<f64>>(
    geometry: &Conv2dGeometry,
    input: &[T],
    weights: &[T],
) -> Vec<f64> {
    let mut output = vec![0.0; geometry.output_len()];
    products(geometry, |o, i, w| {
        output[o] += input[i].into() * weights[w].into()
    });
    output
}

/// Bias and ReLU over (.., C).
pub(crate) fn finish<T: Copy + Into<f64>>(mut sums: Vec<f64>, bias: &[T], relu: bool) -> Vec<f64> {
    for (i, value) in sums.iter_mut().enumerate() {
        *value += bias[i % bias.len()].into();
        *value = if relu { value.max(0.0) } else { *value };
    }
    sums
}

/// The gradient, with 0 where its ReLU was not active.
pub(crate) fn gated(grad: Gated) -> Vec<f64> {
    let pass = |i: usize| grad.gate.is_none_or(|gate| gate[i] > 0.0);
    grad.values
        .iter()
        .enumerate()
        .map(|(i, &g)| if pass(i) { f64::from(g) } else { 0.0 })
        .collect()
}

pub(crate) fn input_gradient(geometry: &Conv2dGeometry, weights: &[f32], grad: Gated) -> Vec<f64> {
    let grad = gated(grad);
    let mut output = vec![0.0; geometry.input_len()];
    products(geometry, |o, i, w| {
        output[i] += grad[o] * f64::from(weights[w])
    });
    output
}

pub(crate) fn filter_gradient(geometry: &Conv2dGeometry, gradient: &FilterGradient) -> Vec<f64> {
    let grad = gated(gradient.grad_output);
    let mut output = vec![0.0; geometry.filter_len()];
    products(geometry, |o, i, w| {
        output[w] += grad[o] * f64::from(gradient.input[i])
    });
    output
}

/// The input pixels of every window, and the length of the input.
struct PoolTaps {
    windows: Vec<Vec<usize>>,
    input_len: usize,
}

fn pool_taps(config: &Pool2dConfig) -> PoolTaps {
    let FeatureMaps {
        batch,
        size,
        channels,
    } = config.input;
    let Pool2dConfig {
        kernel_size,
        stride,
        padding,
        ..
    } = *config;
    let outputs = |size: usize, kernel: usize, stride: usize| {
        let room = size.checked_sub(kernel);
        room.map_or(0, |room| room / stride + 1)
    };
    let padded = (
        size.height + padding.top + padding.bottom,
        size.width + padding.left + padding.right,
    );
    let rows = outputs(padded.0, kernel_size.height, stride.height);
    let columns = outputs(padded.1, kernel_size.width, stride.width);
    let mut windows = Vec::new();
    for n in 0..batch {
        for (oy, ox) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            for c in 0..channels {
                let mut inputs = Vec::new();
                for (ky, kx) in (0..kernel_size.height)
                    .flat_map(|y| (0..kernel_size.width).map(move |x| (y, x)))
                {
                    let y = (oy * stride.height + ky).wrapping_sub(padding.top);
                    let x = (ox * stride.width + kx).wrapping_sub(padding.left);
                    if y < size.height && x < size.width {
                        inputs.push(((n * size.height + y) * size.width + x) * channels + c);
                    }
                }
                windows.push(inputs);
            }
        }
    }
    PoolTaps {
        windows,
        input_len: batch * size.pixels() * channels,
    }
}

/// The pool's outputs, `reduce` of the numbers in each window.
fn pool<T: Copy + Into<f64>>(
    config: &Pool2dConfig,
    input: &[T],
    reduce: fn(&[f64]) -> f64,
) -> Vec<f64> {
    let windows = pool_taps(config).windows.into_iter();
    let numbers = windows.map(|taps| taps.iter().map(|&i| input[i].into()).collect());
    numbers.map(|numbers: Vec<f64>| reduce(&numbers)).collect()
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub(crate) fn max_pool2d<T: Copy + Into<f64>>(config: &Pool2dConfig, input: &[T]) -> Vec<f64> {
    pool(config, input, largest)
}

pub(crate) fn avg_pool2d<T: Copy + Into<f64>>(config: &Pool2dConfig, input: &[T]) -> Vec<f64> {
    pool(config, input, |numbers| {
        numbers.iter().sum::<f64>() / numbers.len() as f64
    })
}

pub(crate) fn max_pool2d_gradient(config: &Pool2dConfig, input: &[f32], grad: &[f32]) -> Vec<f64> {
    let PoolTaps { windows, input_len } = pool_taps(config);
    let mut output = vec![0.0; input_len];
    for ((taps, largest), grad) in windows.iter().zip(max_pool2d(config, input)).zip(grad) {
        let first = taps.iter().find(|&&i| f64::from(input[i]) == largest);
        output[*first.unwrap()] += f64::from(*grad);
    }
    output
}

pub(crate) fn avg_pool2d_gradient(config: &Pool2dConfig, grad: &[f32]) -> Vec<f64> {
    let PoolTaps { windows, input_len } = pool_taps(config);
    let mut output = vec![0.0; input_len];
    for (taps, grad) in windows.iter().zip(grad) {
        for &i in taps {
            output[i] += f64::from(*grad) / taps.len() as f64;
        }
    }
    output
}

/// Calls `visit(image, input, output)` for every product of a dense layer.
pub(crate) fn dense(sizes: DenseSizes, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..sizes.batch {
        for o in 0..sizes.outputs {
            for i in 0..sizes.inputs {
                visit(n, i, o);
            }
        }
    }
}

/// The sums of `channels` columns, and the sums of their magnitudes.
pub(crate) fn bias_gradient(gradient: &FilterGradient, channels: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); channels];
    for (i, value) in gated(gradient.grad_output).into_iter().enumerate() {
        let (sum, magnitude) = &mut sums[i % channels];
        *sum += value;
        *magnitude += value.abs();
    }
    sums
}
