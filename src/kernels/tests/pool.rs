use super::{error, kernels, numbers, oracle};
use crate::kernels::{
    AdaptivePool2dConfig, GeometryError, Padding, Pool2dConfig, Pool2dGeometry, Size2,
    adaptive_avg_pool2d, adaptive_avg_pool2d_gradient, avg_pool2d, avg_pool2d_gradient, max_pool2d,
    max_pool2d_gradient,
};

/// Rounding of sums of at most 49 numbers.
const TOLERANCE: f64 = 49.0 * f32::EPSILON as f64;

fn config(batch: usize, size: impl Into<Size2>, channels: usize) -> Pool2dConfig {
    let Size2 { height, width } = size.into();
    Pool2dConfig {
        batch,
        height,
        width,
        channels,
        kernel_size: Size2::square(2),
        stride: Size2::square(2),
        padding: Padding::default(),
    }
}

/// Bins over the input of a pool.
fn adaptive(config: Pool2dConfig, bins: (usize, usize)) -> AdaptivePool2dConfig {
    AdaptivePool2dConfig {
        batch: config.batch,
        height: config.height,
        width: config.width,
        channels: config.channels,
        bins: bins.into(),
    }
}

/// Checks both pools and their gradients, with many ties.
pub(super) fn check(config: Pool2dConfig) {
    let geometry = Pool2dGeometry::new(config).unwrap();
    let coarse = numbers(geometry.input_len(), 1)
        .iter()
        .map(|x| (x * 3.0).round())
        .collect();
    for input in [numbers(geometry.input_len(), 1), coarse] {
        let grad = numbers(geometry.output_len(), 2);
        for kernel in kernels() {
            let mut output = vec![f32::NAN; geometry.output_len()];
            max_pool2d(kernel, &geometry, &input, &mut output);
            assert_eq!(
                error(&output, &oracle::max_pool2d(&geometry, &input)),
                0.0,
                "{config:?}"
            );
            avg_pool2d(kernel, &geometry, &input, &mut output);
            let expected = oracle::avg_pool2d(&geometry, &input);
            assert!(error(&output, &expected) < TOLERANCE, "{config:?}");
            let mut output = vec![f32::NAN; geometry.input_len()];
            max_pool2d_gradient(kernel, &geometry, &input, &grad, &mut output);
            let expected = oracle::max_pool2d_gradient(&geometry, &input, &grad);
            assert!(
                error(&output, &expected) < TOLERANCE,
                "max {kernel:?} {config:?}"
            );
            avg_pool2d_gradient(kernel, &geometry, &grad, &mut output);
            let expected = oracle::avg_pool2d_gradient(&geometry, &grad);
            assert!(
                error(&output, &expected) < TOLERANCE,
                "avg {kernel:?} {config:?}"
            );
        }
    }
}

#[test]
fn sizes_and_channels() {
    for batch in [0, 1, 3] {
        for size in [(2, 2), (3, 2), (4, 7), (9, 8)] {
            for channels in [1, 4, 15, 16, 33] {
                check(config(batch, size, channels));
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
                ..config(2, (9, 8), 5)
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
        check(Pool2dConfig {
            kernel_size,
            padding,
            ..config(2, (7, 8), 5)
        });
        check(Pool2dConfig {
            kernel_size,
            padding,
            stride: (1, 1).into(),
            ..config(2, (7, 8), 5)
        });
    }
}

#[test]
fn ties_go_to_the_first() {
    let geometry = Pool2dGeometry::new(config(1, (2, 2), 1)).unwrap();
    for kernel in kernels() {
        let mut grad = [9.0; 4];
        max_pool2d_gradient(kernel, &geometry, &[1.0, 2.0, 2.0, 2.0], &[3.0], &mut grad);
        assert_eq!(grad, [0.0, 3.0, 0.0, 0.0]);
        let lowest = [f32::NEG_INFINITY; 4];
        max_pool2d_gradient(kernel, &geometry, &lowest, &[3.0], &mut grad);
        assert_eq!(grad, [3.0, 0.0, 0.0, 0.0]);
    }
}

#[test]
fn what_is_not_a_number_wins() {
    let geometry = Pool2dGeometry::new(config(1, (2, 2), 1)).unwrap();
    for kernel in kernels() {
        let input = [1.0, f32::NAN, 5.0, 2.0];
        let mut output = [0.0];
        max_pool2d(kernel, &geometry, &input, &mut output);
        assert!(output[0].is_nan());
        let mut grad = [9.0; 4];
        max_pool2d_gradient(kernel, &geometry, &input, &[3.0], &mut grad);
        assert_eq!(grad, [0.0, 3.0, 0.0, 0.0]);
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
    for kernel in kernels() {
        let mut output = [0.0; 12];
        adaptive_avg_pool2d(
            kernel,
            adaptive(config(1, (5, 7), 1), (3, 4)),
            &input,
            &mut output,
        );
        assert!(error(&output, &expected) < TOLERANCE, "{output:?}");
    }
}

#[test]
fn the_global_average_and_its_gradient() {
    let global = adaptive(config(2, (3, 5), 17), (1, 1));
    for kernel in kernels() {
        let input = numbers(2 * 3 * 5 * 17, 1);
        let mut output = vec![f32::NAN; 2 * 17];
        adaptive_avg_pool2d(kernel, global, &input, &mut output);
        let mean = |i: usize| {
            let (n, c) = (i / 17, i % 17);
            (0..15)
                .map(|p| f64::from(input[(n * 15 + p) * 17 + c]))
                .sum::<f64>()
                / 15.0
        };
        assert!(error(&output, &(0..34).map(mean).collect::<Vec<_>>()) < TOLERANCE);
        let mut grad = vec![f32::NAN; input.len()];
        adaptive_avg_pool2d_gradient(kernel, global, &output, &mut grad);
        let share = |i: usize| f64::from(output[i / (15 * 17) * 17 + i % 17]) / 15.0;
        assert!(error(&grad, &(0..grad.len()).map(share).collect::<Vec<_>>()) < TOLERANCE);
    }
}

/// The gradient is the transpose: `<avg(x), g> = <x, avg'(g)>`.
#[test]
fn the_adaptive_gradient_is_the_transpose() {
    for kernel in kernels() {
        for bins in [(7, 7), (3, 2), (1, 5), (9, 4)] {
            let sizes = adaptive(config(2, (7, 5), 6), bins);
            let input = numbers(2 * 7 * 5 * 6, 1);
            let grad = numbers(2 * sizes.bins.pixels() * 6, 2);
            let mut output = vec![f32::NAN; grad.len()];
            adaptive_avg_pool2d(kernel, sizes, &input, &mut output);
            let mut back = vec![f32::NAN; input.len()];
            adaptive_avg_pool2d_gradient(kernel, sizes, &grad, &mut back);
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

#[test]
fn what_does_not_fit_is_refused() {
    let good = config(1, (4, 4), 2);
    let refused = |config: Pool2dConfig| Pool2dGeometry::new(config).unwrap_err();
    let zero = |size| GeometryError::Zero { size };
    assert_eq!(refused(Pool2dConfig { height: 0, ..good }), zero("height"));
    assert_eq!(refused(Pool2dConfig { width: 0, ..good }), zero("width"));
    assert_eq!(
        refused(Pool2dConfig {
            channels: 0,
            ..good
        }),
        zero("channels")
    );
    assert_eq!(
        refused(Pool2dConfig {
            kernel_size: (0, 2).into(),
            ..good
        }),
        zero("kernel_size")
    );
    assert_eq!(
        refused(Pool2dConfig {
            stride: (2, 0).into(),
            ..good
        }),
        zero("stride")
    );
    let padding = GeometryError::Padding {
        padding: 2,
        window: 2,
    };
    assert_eq!(
        refused(Pool2dConfig {
            padding: Padding::all(2),
            ..good
        }),
        padding
    );
    let window = GeometryError::Window {
        window: 5,
        padded: 4,
    };
    assert_eq!(
        refused(Pool2dConfig {
            kernel_size: (5, 2).into(),
            ..good
        }),
        window
    );
    let huge = Pool2dConfig {
        batch: usize::MAX / 8,
        ..good
    };
    assert_eq!(refused(huge), GeometryError::Overflow);
}
