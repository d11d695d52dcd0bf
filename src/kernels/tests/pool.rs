use super::{error, kernels, numbers, oracle};
use crate::kernels::{
    FeatureMaps, Padding, Pool2dConfig, PoolWindows, Size2, avg_pool2d, avg_pool2d_gradient,
    max_pool2d, max_pool2d_gradient,
};

/// Rounding of sums of at most 49 numbers.
const TOLERANCE: f64 = 49.0 * f32::EPSILON as f64;

fn maps(batch: usize, size: impl Into<Size2>, channels: usize) -> FeatureMaps {
    FeatureMaps {
        batch,
        size: size.into(),
        channels,
    }
}

/// The 2x2 pool with stride 2.
fn halving(input: FeatureMaps) -> Pool2dConfig {
    Pool2dConfig {
        input,
        kernel_size: Size2::square(2),
        stride: Size2::square(2),
        padding: Padding::default(),
    }
}

/// Checks both pools and their gradients, with many ties.
pub(super) fn check(config: Pool2dConfig) {
    let windows = PoolWindows::sliding(config).unwrap();
    let fine = numbers(windows.input_len(), 1);
    let coarse = fine.iter().map(|x| (x * 3.0).round()).collect();
    let grad = numbers(windows.output_len(), 2);
    let by_avg = oracle::avg_pool2d_gradient(&config, &grad);
    for input in [fine, coarse] {
        let max = oracle::max_pool2d(&config, &input);
        let avg = oracle::avg_pool2d(&config, &input);
        let by_max = oracle::max_pool2d_gradient(&config, &input, &grad);
        for kernel in kernels() {
            let mut output = vec![f32::NAN; windows.output_len()];
            max_pool2d(kernel, &windows, &input, &mut output);
            assert_eq!(error(&output, &max), 0.0, "{config:?}");
            avg_pool2d(kernel, &windows, &input, &mut output);
            assert!(error(&output, &avg) < TOLERANCE, "{config:?}");
            let mut output = vec![f32::NAN; windows.input_len()];
            max_pool2d_gradient(kernel, &windows, &input, &grad, &mut output);
            let found = error(&output, &by_max);
            assert!(found < TOLERANCE, "max {kernel:?} {config:?}");
            avg_pool2d_gradient(kernel, &windows, &grad, &mut output);
            let found = error(&output, &by_avg);
            assert!(found < TOLERANCE, "avg {kernel:?} {config:?}");
        }
    }
}

#[test]
fn sizes_and_channels() {
    for batch in [0, 1, 3] {
        for size in [(2, 2), (3, 2), (4, 7), (9, 8)] {
            for channels in [1, 4, 15, 16, 33] {
                check(halving(maps(batch, size, channels)));
            }
        }
    }
}

#[test]
fn overlapping_odd_and_sparse_windows() {
    for kernel_size in [(1, 1), (3, 3), (3, 2), (7, 5)].map(Size2::from) {
        for stride in [(1, 1), (2, 1), (2, 3), (8, 8)].map(Size2::from) {
            check(Pool2dConfig {
                kernel_size,
                stride,
                ..halving(maps(2, (9, 8), 5))
            });
        }
    }
}

#[test]
fn padded_windows() {
    let padding = Padding {
        top: 1,
        bottom: 0,
        left: 0,
        right: 1,
    };
    for kernel_size in [(2, 2), (3, 3), (5, 2)].map(Size2::from) {
        for stride in [(2, 2), (1, 1)].map(Size2::from) {
            check(Pool2dConfig {
                kernel_size,
                stride,
                padding,
                ..halving(maps(2, (7, 8), 5))
            });
        }
    }
}

#[test]
fn the_gradient_goes_to_the_first_largest_number_or_to_a_nan() {
    let windows = PoolWindows::sliding(halving(maps(1, (2, 2), 1))).unwrap();
    for kernel in kernels() {
        for (input, winner) in [
            ([1.0, 2.0, 2.0, 2.0], 1),
            ([f32::NEG_INFINITY; 4], 0),
            ([1.0, f32::NAN, 5.0, 2.0], 1),
        ] {
            let mut output = [0.0];
            max_pool2d(kernel, &windows, &input, &mut output);
            assert_eq!(output[0].to_bits(), input[winner].to_bits());
            let mut grad = [9.0; 4];
            max_pool2d_gradient(kernel, &windows, &input, &[3.0], &mut grad);
            let mut expected = [0.0; 4];
            expected[winner] = 3.0;
            assert_eq!(grad, expected);
        }
    }
}

#[test]
fn adaptive_bins_are_those_of_pytorch() {
    // torch.nn.functional.adaptive_avg_pool2d of arange(35).reshape(5, 7)
    // to (3, 4): rows 0-1, 1-3, 3-4, columns 0-1, 1-3, 3-5, 5-6.
    let input: Vec<f32> = (0..35).map(|i| i as f32).collect();
    let expected = [
        4.0, 5.5, 7.5, 9.0, 14.5, 16.0, 18.0, 19.5, 25.0, 26.5, 28.5, 30.0f64,
    ];
    let windows = PoolWindows::adaptive(maps(1, (5, 7), 1), (3, 4).into());
    for kernel in kernels() {
        let mut output = [0.0; 12];
        avg_pool2d(kernel, &windows, &input, &mut output);
        assert!(error(&output, &expected) < TOLERANCE, "{output:?}");
    }
}

#[test]
fn the_global_average_and_its_gradient() {
    let global = PoolWindows::adaptive(maps(2, (3, 5), 17), (1, 1).into());
    for kernel in kernels() {
        let input = numbers(2 * 3 * 5 * 17, 1);
        let mut output = vec![f32::NAN; 2 * 17];
        avg_pool2d(kernel, &global, &input, &mut output);
        let mean = |i: usize| {
            let (n, c) = (i / 17, i % 17);
            (0..15)
                .map(|p| f64::from(input[(n * 15 + p) * 17 + c]))
                .sum::<f64>()
                / 15.0
        };
        assert!(error(&output, &(0..34).map(mean).collect::<Vec<_>>()) < TOLERANCE);
        let mut grad = vec![f32::NAN; input.len()];
        avg_pool2d_gradient(kernel, &global, &output, &mut grad);
        let share = |i: usize| f64::from(output[i / (15 * 17) * 17 + i % 17]) / 15.0;
        assert!(error(&grad, &(0..grad.len()).map(share).collect::<Vec<_>>()) < TOLERANCE);
    }
}

/// The gradient is the transpose: `<avg(x), g> = <x, avg'(g)>`.
#[test]
fn the_adaptive_gradient_is_the_transpose() {
    for kernel in kernels() {
        for bins in [(7, 7), (3, 2), (1, 5), (9, 4)] {
            let windows = PoolWindows::adaptive(maps(2, (7, 5), 6), bins.into());
            let input = numbers(2 * 7 * 5 * 6, 1);
            let grad = numbers(windows.output_len(), 2);
            let mut output = vec![f32::NAN; grad.len()];
            avg_pool2d(kernel, &windows, &input, &mut output);
            let mut back = vec![f32::NAN; input.len()];
            avg_pool2d_gradient(kernel, &windows, &grad, &mut back);
            let dot = |a: &[f32], b: &[f32]| {
                a.iter()
                    .zip(b)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b))
                    .sum::<f64>()
            };
            let (left, right) = (dot(&output, &grad), dot(&input, &back));
            assert!(
                (left - right).abs() < 420.0 * TOLERANCE,
                "{bins:?}: {left} {right}"
            );
        }
    }
}
