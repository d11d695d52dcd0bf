use super::{error, kernels, numbers, oracle};
use crate::kernels::{
    Algorithm, Conv2dConfig, Conv2dGeometry, Epilogue, FilterGradient, FilterWeights, Gated,
    Kernel, PackedFilter, Padding, Pool2dConfig, Pool2dGeometry, Size2, conv2d,
    conv2d_filter_gradient, conv2d_input_gradient, conv2d_parameter_gradients,
};

/// Roundings cancel for the most part: n of them come to some `sqrt(n) u`
/// (Higham, "Accuracy and Stability of Numerical Algorithms", section 2.8),
/// 4e-6 for the 4617 products of the longest sum here, and to twice that
/// behind Winograd's transforms. What holds in the worst case is far above
/// (see `winograd`).
pub(super) const TOLERANCE: f64 = 1e-5;

pub(super) const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::Direct,
    Algorithm::Winograd2,
    Algorithm::Winograd4,
];

pub(super) const RELU_POOL: Epilogue = Epilogue {
    bias: None,
    relu: true,
    pool: true,
};

/// A convolution with numbers for all that it reads.
pub(super) struct Case {
    pub(super) geometry: Conv2dGeometry,
    pub(super) input: Vec<f32>,
    pub(super) weights: Vec<f32>,
    /// Of the channels out.
    pub(super) scale: Option<Vec<f32>>,
    pub(super) bias: Vec<f32>,
    pub(super) grad: Vec<f32>,
}

impl Case {
    pub(super) fn new(config: Conv2dConfig) -> Self {
        let geometry = Conv2dGeometry::new(config).unwrap();
        Self {
            geometry,
            input: numbers(geometry.input_len(), 1),
            weights: numbers(geometry.filter_len(), 2),
            scale: None,
            bias: numbers(config.out_channels, 3),
            grad: numbers(geometry.output_len(), 4),
        }
    }

    /// With a factor for each channel out.
    pub(super) fn scaled(config: Conv2dConfig) -> Self {
        Self {
            scale: Some(numbers(config.out_channels, 6)),
            ..Self::new(config)
        }
    }

    pub(super) fn given(&self) -> FilterWeights<'_> {
        FilterWeights {
            values: &self.weights,
            scale: self.scale.as_deref(),
        }
    }

    /// The weights times their factors.
    fn product(&self) -> Vec<f32> {
        let Some(scale) = &self.scale else {
            return self.weights.clone();
        };
        let filters = self.weights.chunks_exact(self.weights.len() / scale.len());
        let products = filters
            .zip(scale)
            .flat_map(|(filter, scale)| filter.iter().map(move |weight| weight * scale));
        products.collect()
    }

    pub(super) fn forward(&self, kernel: Kernel, algorithm: Algorithm, epilogue: Epilogue) {
        let Self {
            geometry,
            input,
            bias,
            ..
        } = self;
        let weights = self.given();
        let filter = PackedFilter::forward_with(kernel, algorithm, geometry, weights);
        let config = geometry.config();
        let epilogue = Epilogue {
            bias: Some(bias),
            ..epilogue
        };
        let Epilogue { relu, pool, .. } = epilogue;
        let expected = oracle::conv2d(geometry, input, &self.product());
        let mut expected = oracle::finish(expected, bias, relu);
        let mut size = geometry.out_size();
        if pool {
            size = size.halved();
            let values: Vec<_> = expected.iter().map(|&value| value as f32).collect();
            expected = match pool_geometry(geometry) {
                Some(pool) => oracle::max_pool2d(&pool, &values),
                None => Vec::new(),
            };
        }
        let mut output = vec![f32::NAN; config.batch * size.pixels() * config.out_channels];
        let filter = filter.with(weights);
        conv2d(geometry, filter, input, &epilogue, &mut output);
        let error = error(&output, &expected);
        assert!(
            error < TOLERANCE,
            "{kernel:?} {algorithm:?} {config:?} {relu} {pool}: {error}"
        );
    }

    pub(super) fn input_gradient(
        &self,
        kernel: Kernel,
        algorithm: Algorithm,
        gate: Option<&[f32]>,
    ) {
        let Self { geometry, grad, .. } = self;
        let grad = Gated { values: grad, gate };
        let weights = self.given();
        let filter = PackedFilter::input_gradient_with(kernel, algorithm, geometry, weights);
        let mut output = vec![f32::NAN; geometry.input_len()];
        conv2d_input_gradient(geometry, filter.with(weights), grad, &mut output);
        let expected = oracle::input_gradient(geometry, &self.product(), grad);
        let config = geometry.config();
        let found = error(&output, &expected);
        assert!(
            found < TOLERANCE,
            "input {kernel:?} {algorithm:?} {config:?}: {found}"
        );
    }

    fn backward(&self, kernel: Kernel, algorithm: Algorithm, gate: Option<&[f32]>) {
        let Self {
            geometry,
            input,
            grad,
            ..
        } = self;
        self.input_gradient(kernel, algorithm, gate);
        let config = geometry.config();
        let gradient = FilterGradient {
            input,
            grad_output: Gated { values: grad, gate },
        };
        let mut output = vec![f32::NAN; geometry.filter_len()];
        conv2d_filter_gradient(kernel, geometry, &gradient, &mut output);
        let found = error(&output, &oracle::filter_gradient(geometry, &gradient));
        assert!(found < TOLERANCE, "filter {kernel:?} {config:?}: {found}");
        self.with_bias(kernel, &gradient, &output);
    }

    /// Both gradients at once: the filter's as alone, the bias's within the
    /// bound of a sum of `n` numbers, `n u` times that of their magnitudes.
    fn with_bias(&self, kernel: Kernel, gradient: &FilterGradient, alone: &[f32]) {
        let Self { geometry, bias, .. } = self;
        let mut output = vec![f32::NAN; alone.len()];
        let mut found = vec![f32::NAN; bias.len()];
        conv2d_parameter_gradients(kernel, geometry, gradient, &mut output, Some(&mut found));
        assert_eq!(output, alone);
        let sums = oracle::bias_gradient(gradient, bias.len());
        let count = gradient.grad_output.values.len() / bias.len();
        for (found, (sum, magnitude)) in found.iter().zip(sums) {
            let bound = count as f64 * 0.5 * f64::from(f32::EPSILON) * magnitude;
            let error = (f64::from(*found) - sum).abs();
            assert!(error <= bound, "{kernel:?} {geometry:?}: {error} {bound}");
        }
    }

    fn check(&self) {
        let gate = numbers(self.geometry.output_len(), 5);
        for kernel in kernels() {
            for algorithm in ALGORITHMS {
                self.forward(kernel, algorithm, Epilogue::default());
                self.forward(kernel, algorithm, RELU_POOL);
                self.backward(kernel, algorithm, None);
                self.backward(kernel, algorithm, Some(&gate));
            }
        }
    }
}

/// The 2x2 pool after a convolution, if it leaves anything.
fn pool_geometry(geometry: &Conv2dGeometry) -> Option<Pool2dGeometry> {
    let Size2 { height, width } = geometry.out_size();
    let config = Pool2dConfig {
        batch: geometry.config().batch,
        height,
        width,
        channels: geometry.config().out_channels,
        kernel_size: Size2::square(2),
        stride: Size2::square(2),
        padding: Padding::default(),
    };
    Pool2dGeometry::new(config).ok()
}

/// Checks a configuration, alone.
pub(super) fn check(config: Conv2dConfig) {
    Case::new(config).check();
}

#[test]
fn sizes_around_every_tile_edge() {
    for size in [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 17, 29] {
        check(Conv2dConfig::same(3).images(1, size, 6).channels(3, 5));
        check(Conv2dConfig::same(3).images(2, 5, size).channels(17, 16));
    }
}

#[test]
fn channels_around_every_lane_count() {
    for channels in [1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 65] {
        check(Conv2dConfig::same(3).images(1, 6, 5).channels(channels, 18));
        check(Conv2dConfig::same(3).images(2, 5, 6).channels(16, channels));
    }
}

#[test]
fn batches() {
    for batch in [0, 1, 2, 3, 9] {
        check(Conv2dConfig::same(3).images(batch, 6, 7).channels(16, 20));
        check(Conv2dConfig::same(5).images(batch, 5, 4).channels(3, 8));
    }
}

#[test]
fn empty_maps() {
    let padding = Padding::all(3);
    check(Conv2dConfig {
        padding,
        ..Conv2dConfig::same(3).images(1, 0, 3).channels(16, 16)
    });
    check(Conv2dConfig {
        padding,
        ..Conv2dConfig::same(5).images(2, 3, 0).channels(2, 3)
    });
}

#[test]
fn kernel_sizes() {
    for kernel_size in [(1, 1), (1, 3), (5, 5), (2, 2), (7, 1), (3, 4), (11, 11)].map(Size2::from) {
        let config = Conv2dConfig::same(1).images(2, 12, 13).channels(5, 9);
        check(Conv2dConfig {
            kernel_size,
            ..config
        });
        check(Conv2dConfig {
            kernel_size,
            padding: Padding::all(1),
            ..config
        });
    }
}

#[test]
fn strides() {
    for stride in [(1, 2), (2, 1), (2, 2), (3, 2), (5, 7)].map(Size2::from) {
        for kernel in [1, 2, 3, 5] {
            let config = Conv2dConfig::same(kernel).images(2, 11, 12).channels(4, 6);
            check(Conv2dConfig { stride, ..config });
        }
    }
}

#[test]
fn dilations() {
    for dilation in [(1, 2), (2, 1), (2, 2), (3, 2)].map(Size2::from) {
        for stride in [(1, 1), (2, 3)].map(Size2::from) {
            let config = Conv2dConfig::same(3).images(2, 11, 12).channels(4, 6);
            check(Conv2dConfig {
                dilation,
                stride,
                padding: Padding::all(2),
                ..config
            });
        }
    }
}

#[test]
fn groups() {
    for (groups, ins, outs) in [(2, 4, 6), (3, 6, 3), (8, 8, 8), (2, 32, 66)] {
        for stride in [(1, 1), (2, 2)].map(Size2::from) {
            let config = Conv2dConfig::same(3).images(2, 7, 6).channels(ins, outs);
            check(Conv2dConfig {
                groups,
                stride,
                ..config
            });
        }
    }
}

#[test]
fn paddings() {
    let uneven = Padding {
        top: 0,
        bottom: 2,
        left: 3,
        right: 1,
    };
    for padding in [Padding::all(0), Padding::all(2), Padding::all(5), uneven] {
        let config = Conv2dConfig::same(3).images(2, 7, 6).channels(16, 17);
        check(Conv2dConfig { padding, ..config });
        check(Conv2dConfig {
            padding,
            stride: (2, 3).into(),
            ..config
        });
        check(Conv2dConfig {
            padding,
            kernel_size: Size2::square(1),
            ..config
        });
    }
}

#[test]
fn no_bias_is_a_bias_of_zero() {
    let case = Case::new(Conv2dConfig::same(3).images(1, 5, 6).channels(16, 17));
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let Case {
                geometry,
                input,
                weights,
                ..
            } = &case;
            let weights = FilterWeights::from(&weights[..]);
            let filter = PackedFilter::forward_with(kernel, algorithm, geometry, weights);
            let filter = filter.with(weights);
            let zeros = [0.0; 17];
            let outputs = [None, Some(&zeros[..])].map(|bias| {
                let mut output = vec![f32::NAN; geometry.output_len()];
                let epilogue = Epilogue {
                    bias,
                    ..Default::default()
                };
                conv2d(geometry, filter, input, &epilogue, &mut output);
                output
            });
            assert_eq!(outputs[0], outputs[1]);
        }
    }
}

#[test]
fn a_relu_keeps_what_is_not_a_number() {
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let geometry =
                Conv2dGeometry::new(Conv2dConfig::same(3).images(1, 2, 2).channels(1, 1)).unwrap();
            let weights = FilterWeights::from(&[1.0; 9][..]);
            let filter = PackedFilter::forward_with(kernel, algorithm, &geometry, weights);
            let filter = filter.with(weights);
            let mut output = [0.0; 4];
            let epilogue = Epilogue {
                relu: true,
                ..Default::default()
            };
            conv2d(&geometry, filter, &[f32::NAN; 4], &epilogue, &mut output);
            assert!(
                output.iter().all(|value| value.is_nan()),
                "{kernel:?} {algorithm:?}"
            );
        }
    }
}
