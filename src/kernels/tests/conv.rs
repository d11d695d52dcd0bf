use super::{error, kernels, numbers, oracle};
use crate::kernels::{
    Algorithm, Conv2dCall, Conv2dConfig, Conv2dGeometry, Direction, Epilogue, FeatureMaps,
    FilterGradient, FilterWeights, Gated, Kernel, PackedFilter, Padding, Pool2dConfig, Size2,
    conv2d, conv2d_input_gradient, conv2d_parameter_gradients,
};

/// Most roundings cancel: n of them add up to about `sqrt(n) u` (Higham,
/// "Accuracy and Stability of Numerical Algorithms", section 2.8). This is 4e-6
/// for the 4617 products of the longest sum here, and twice as much after
/// Winograd's transforms. The worst case is far above (see `winograd`).
pub(super) const TOLERANCE: f64 = 1e-5;

pub(super) const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::Direct,
    Algorithm::Winograd2,
    Algorithm::Winograd4,
];

pub(super) const RELU: Epilogue = Epilogue {
    bias: None,
    relu: true,
    pool: false,
};

pub(super) const RELU_POOL: Epilogue = Epilogue {
    bias: None,
    relu: true,
    pool: true,
};

/// A convolution with random operands.
pub(super) struct Case {
    pub(super) geometry: Conv2dGeometry,
    pub(super) input: Vec<f32>,
    pub(super) weights: Vec<f32>,
    /// Factors of the output channels.
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

    /// With a factor for each output channel.
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

    pub(super) fn pack(
        &self,
        kernel: Kernel,
        direction: Direction,
        algorithm: Option<Algorithm>,
    ) -> PackedFilter {
        PackedFilter::pack(kernel, &self.geometry, direction, algorithm, self.given())
    }

    pub(super) fn call<'a>(
        &'a self,
        filter: &'a PackedFilter,
        epilogue: Epilogue<'a>,
    ) -> Conv2dCall<'a> {
        Conv2dCall {
            geometry: self.geometry,
            filter: filter.with(self.given()),
            epilogue,
        }
    }

    pub(super) fn output(&self, filter: &PackedFilter, epilogue: Epilogue) -> Vec<f32> {
        let call = self.call(filter, epilogue);
        let mut output = vec![f32::NAN; call.output_len()];
        conv2d(&call, &self.input, &mut output);
        output
    }

    pub(super) fn grad_input(&self, filter: &PackedFilter, gate: Option<&[f32]>) -> Vec<f32> {
        let mut output = vec![f32::NAN; self.geometry.input_len()];
        let filter = filter.with(self.given());
        conv2d_input_gradient(&self.geometry, filter, self.gated(gate), &mut output);
        output
    }

    fn gated<'a>(&'a self, gate: Option<&'a [f32]>) -> Gated<'a> {
        Gated {
            values: &self.grad,
            gate,
        }
    }

    pub(super) fn forward(&self, kernel: Kernel, algorithm: Algorithm, epilogue: Epilogue) {
        let filter = self.pack(kernel, Direction::Forward, Some(algorithm));
        let config = self.geometry.config();
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            ..epilogue
        };
        let Epilogue { relu, pool, .. } = epilogue;
        let expected = oracle::conv2d(&self.geometry, &self.input, &self.product());
        let mut expected = oracle::finish(expected, &self.bias, relu);
        if pool {
            let values: Vec<_> = expected.iter().map(|&value| value as f32).collect();
            expected = oracle::max_pool2d(&halving(&self.geometry), &values);
        }
        let error = error(&self.output(&filter, epilogue), &expected);
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
        let filter = self.pack(kernel, Direction::InputGradient, Some(algorithm));
        let grad = self.gated(gate);
        let expected = oracle::input_gradient(&self.geometry, &self.product(), grad);
        let config = self.geometry.config();
        let found = error(&self.grad_input(&filter, gate), &expected);
        assert!(
            found < TOLERANCE,
            "input {kernel:?} {algorithm:?} {config:?}: {found}"
        );
    }

    fn parameter_gradients(&self, kernel: Kernel, gate: Option<&[f32]>) {
        let Self { geometry, .. } = self;
        let config = geometry.config();
        let gradient = FilterGradient {
            input: &self.input,
            grad_output: self.gated(gate),
        };
        let mut output = vec![f32::NAN; geometry.filter_len()];
        conv2d_parameter_gradients(kernel, geometry, &gradient, &mut output, None);
        let found = error(&output, &oracle::filter_gradient(geometry, &gradient));
        assert!(found < TOLERANCE, "filter {kernel:?} {config:?}: {found}");
        self.with_bias(kernel, &gradient, &output);
    }

    /// Computes both gradients at once. The filter's must equal `alone`. The
    /// bias's may err by `n u` times the magnitudes of its `n` terms.
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
                self.input_gradient(kernel, algorithm, None);
                self.input_gradient(kernel, algorithm, Some(&gate));
            }
            self.parameter_gradients(kernel, None);
            self.parameter_gradients(kernel, Some(&gate));
        }
    }
}

/// The 2x2 pool after a convolution.
fn halving(geometry: &Conv2dGeometry) -> Pool2dConfig {
    Pool2dConfig {
        input: FeatureMaps {
            batch: geometry.config().batch,
            size: geometry.out_size(),
            channels: geometry.config().out_channels,
        },
        kernel_size: Size2::square(2),
        stride: Size2::square(2),
        padding: Padding::default(),
    }
}

/// Checks a configuration on every kernel, with every algorithm.
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
fn empty_feature_maps() {
    let padding = Padding::all(3);
    for config in [
        Conv2dConfig::same(3).images(1, 0, 3).channels(16, 16),
        Conv2dConfig::same(5).images(2, 3, 0).channels(2, 3),
    ] {
        check(config.with(|config| config.padding = padding));
    }
}

#[test]
fn kernel_sizes() {
    for kernel_size in [(1, 1), (1, 3), (5, 5), (2, 2), (7, 1), (3, 4), (11, 11)].map(Size2::from) {
        for padding in [Padding::all(0), Padding::all(1)] {
            let config = Conv2dConfig::same(1).images(2, 12, 13).channels(5, 9);
            check(config.with(|config| {
                config.kernel_size = kernel_size;
                config.padding = padding;
            }));
        }
    }
}

#[test]
fn strides() {
    for stride in [(1, 2), (2, 1), (2, 2), (3, 2), (5, 7)].map(Size2::from) {
        for kernel in [1, 2, 3, 5] {
            let config = Conv2dConfig::same(kernel).images(2, 11, 12).channels(4, 6);
            check(config.with(|config| config.stride = stride));
        }
    }
}

#[test]
fn dilations() {
    for dilation in [(1, 2), (2, 1), (2, 2), (3, 2)].map(Size2::from) {
        for stride in [(1, 1), (2, 3)].map(Size2::from) {
            let config = Conv2dConfig::same(3).images(2, 11, 12).channels(4, 6);
            check(config.with(|config| {
                config.dilation = dilation;
                config.stride = stride;
                config.padding = Padding::all(2);
            }));
        }
    }
}

#[test]
fn groups() {
    for (groups, ins, outs) in [(2, 4, 6), (3, 6, 3), (8, 8, 8), (2, 32, 66)] {
        for stride in [(1, 1), (2, 2)].map(Size2::from) {
            let config = Conv2dConfig::same(3).images(2, 7, 6).channels(ins, outs);
            check(config.with(|config| {
                config.groups = groups;
                config.stride = stride;
            }));
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
        let config = config.with(|config| config.padding = padding);
        check(config);
        check(config.with(|config| config.stride = (2, 3).into()));
        check(config.with(|config| config.kernel_size = Size2::square(1)));
    }
}

#[test]
fn no_bias_is_a_bias_of_zero() {
    let case = Case::new(Conv2dConfig::same(3).images(1, 5, 6).channels(16, 17));
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let filter = case.pack(kernel, Direction::Forward, Some(algorithm));
            let outputs = [None, Some(&[0.0; 17][..])].map(|bias| {
                let epilogue = Epilogue {
                    bias,
                    ..Default::default()
                };
                case.output(&filter, epilogue)
            });
            assert_eq!(outputs[0], outputs[1]);
        }
    }
}

#[test]
fn a_relu_keeps_a_nan() {
    let case = Case {
        input: vec![f32::NAN; 4],
        ..Case::new(Conv2dConfig::same(3).images(1, 2, 2))
    };
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let filter = case.pack(kernel, Direction::Forward, Some(algorithm));
            let output = case.output(&filter, RELU);
            assert!(
                output.iter().all(|value| value.is_nan()),
                "{kernel:?} {algorithm:?}"
            );
        }
    }
}
