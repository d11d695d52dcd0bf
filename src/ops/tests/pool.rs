use candle_core::{Device, Tensor, Var};

use super::net::window;
use super::{EXACT, Map, assert_close, channels_last, check_gradient, padding, random, values};
use crate::kernels::tests::oracle;
use crate::kernels::{FeatureMaps, Pool2dConfig};
use crate::layers::{Margins, Padding, Window};
use crate::ops::device::{
    adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d,
};

fn windows() -> Vec<Window> {
    let uneven = Margins {
        top: 1,
        bottom: 0,
        left: 0,
        right: 2,
    };
    let mut windows = Vec::new();
    for kernel_size in [(1, 1), (2, 2), (3, 3), (3, 2), (4, 5)] {
        for stride in [(1, 1), (2, 2), (3, 3), (2, 1), kernel_size] {
            let mut paddings = vec![Padding::Valid, Padding::Same];
            if kernel_size.0 > 1 {
                paddings.push(1.into());
            }
            if kernel_size.0 > 1 && kernel_size.1 > 2 {
                paddings.push(uneven.into());
            }
            windows.extend(paddings.into_iter().map(|padding| Window {
                kernel_size,
                stride,
                dilation: (1, 1),
                padding,
            }));
        }
    }
    windows
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Checks an operator with and without a gradient.
fn check_both(x: &Tensor, window: Window) {
    let (batch, channels, height, width) = x.dims4().unwrap();
    let config = Pool2dConfig {
        input: FeatureMaps {
            batch,
            size: (height, width).into(),
            channels,
        },
        kernel_size: window.kernel_size.into(),
        stride: window.stride.into(),
        padding: padding(&window, height, width),
    };
    let what = format!("{window:?}");
    let last = channels_last(x);
    let largest = oracle::max_pool2d(&config, &last);
    let means = oracle::avg_pool2d(&config, &last);
    let tracked = Var::from_tensor(x).unwrap();
    for x in [x, tracked.as_tensor()] {
        let y = max_pool2d(x, window).unwrap();
        assert_close(&channels_last(&y), &largest, EXACT, &what);
        let y = avg_pool2d(x, window).unwrap();
        assert_close(&channels_last(&y), &means, EXACT, &what);
    }
}

#[test]
fn max_and_average_pools() {
    for window in windows() {
        for shape in [[2, 3, 7, 8], [1, 1, 5, 5], [1, 2, 6, 5]] {
            check_both(&random(&shape, 5), window);
        }
    }
}

#[test]
fn padding_never_wins_over_negative_values() {
    let x = (random(&[1, 1, 4, 4], 6) - 5.0).unwrap();
    let window = window(3, 2, 1);
    check_both(&x, window);
    let largest = values(&max_pool2d(&x, window).unwrap());
    assert!(largest.iter().all(|&v| v < -3.0));
}

#[test]
fn gradients() {
    for window in windows() {
        let x = random(&[1, 2, 5, 6], 7);
        let what = format!("{window:?}");
        check_gradient(|x| max_pool2d(x, window), &x, &what);
        check_gradient(|x| avg_pool2d(x, window), &x, &what);
    }
    let x = random(&[2, 3, 3, 4], 8);
    check_gradient(global_max_pool2d, &x, "global max");
    check_gradient(global_avg_pool2d, &x, "global mean");
    for size in [(2, 2), (7, 3), (3, 4), (1, 1)] {
        check_gradient(|x| adaptive_avg_pool2d(x, size), &x, "adaptive");
    }
}

/// As in PyTorch, the first of equal values in row order takes the whole
/// gradient.
#[test]
fn of_equal_values_the_first_takes_the_gradient() {
    let x = Var::new(
        &[[[[1.0f64, 1.0, 2.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]]]],
        &Device::Cpu,
    );
    let x = x.unwrap();
    let gradient = |y: Tensor| {
        let gradients = y.sum_all().unwrap().backward().unwrap();
        values(gradients.get(&x).unwrap())
    };
    let apart = gradient(max_pool2d(&x, window(2, 2, Padding::Valid)).unwrap());
    assert_eq!(apart, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let overlapping = gradient(max_pool2d(&x, window(2, 1, Padding::Valid)).unwrap());
    assert_eq!(overlapping, [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let global = gradient(global_max_pool2d(&x).unwrap());
    assert_eq!(global, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn global_pools() {
    let x = random(&[2, 3, 4, 5], 9);
    let planes: Vec<f64> = values(&x);
    let planes: Vec<&[f64]> = planes.chunks(20).collect();
    let means: Vec<f64> = planes.iter().map(|plane| mean(plane)).collect();
    let maxima: Vec<f64> = planes.iter().map(|plane| largest(plane)).collect();
    let average = global_avg_pool2d(&x).unwrap();
    assert_eq!(average.dims(), [2, 3]);
    assert_close(&values(&average), &means, EXACT, "means");
    let maximum = global_max_pool2d(&x).unwrap();
    assert_eq!(maximum.dims(), [2, 3]);
    assert_eq!(values(&maximum), maxima);
}

/// PyTorch's bins: `floor(i * in / out)` to `ceil((i + 1) * in / out)`.
#[test]
fn adaptive_pools() {
    for (height, width) in [(7, 7), (5, 9), (1, 1), (14, 3), (8, 8)] {
        let x = Map::of(&random(&[2, 2, height, width], 10));
        for (rows, columns) in [(7, 7), (1, 1), (3, 2), (5, 9), (4, 10)] {
            let mut expected = Map::zeros(2, 2, rows, columns);
            for index in 0..expected.values.len() {
                let (c, r) = (index % columns, index / columns % rows);
                let plane = index / columns / rows;
                let range = |i: usize, input: usize, output: usize| {
                    let end = ((i + 1) as f64 * input as f64 / output as f64).ceil();
                    i * input / output..end as usize
                };
                let mut under = Vec::new();
                for y in range(r, height, rows) {
                    for column in range(c, width, columns) {
                        under.push(x.get(plane / 2, plane % 2, y, column));
                    }
                }
                expected.values[index] = mean(&under);
            }
            let tensor = Tensor::from_vec(x.values.clone(), &x.dims()[..], &Device::Cpu);
            let y = adaptive_avg_pool2d(&tensor.unwrap(), (rows, columns)).unwrap();
            assert_eq!(y.dims(), expected.dims());
            let what = format!("{height}x{width} to {rows}x{columns}");
            assert_close(&values(&y), &expected.values, EXACT, &what);
        }
    }
    // torch.nn.functional.adaptive_avg_pool1d(arange(5), 3): bins 0-1, 1-3, 3-4.
    let x = Tensor::new(&[[[[0.0f64, 1.0, 2.0, 3.0, 4.0]]]], &Device::Cpu).unwrap();
    let y = adaptive_avg_pool2d(&x, (1, 3)).unwrap();
    assert_close(&values(&y), &[0.5, 2.0, 3.5], EXACT, "five to three");
}
