//! The same bits whatever the number of threads.

use super::conv::Case;
use super::{kernels, numbers};
use crate::kernels::{
    Conv2dConfig, DenseLayer, DenseSizes, DenseWeights, Direction, Epilogue, FilterGradient, Gated,
    Kernel, bias_gradient, conv2d_parameter_gradients, dense, dense_input_gradient,
    dense_weight_gradient,
};

/// The bits of the results of all kernels that sum.
fn everything(config: Conv2dConfig) -> Vec<u32> {
    let case = Case::new(config);
    let grad = Gated::from(&case.grad[..]);
    let mut all = Vec::new();
    for kernel in kernels() {
        let filter = case.pack(kernel, Direction::Forward, None);
        let output = case.output(&filter, Epilogue::default());
        let filter = case.pack(kernel, Direction::InputGradient, None);
        let by_input = case.grad_input(&filter, None);
        let mut by_filter = vec![0.0; case.weights.len()];
        let gradient = FilterGradient {
            input: &case.input,
            grad_output: grad,
        };
        let mut by_bias = vec![0.0; config.out_channels];
        let sums = Some(&mut by_bias[..]);
        conv2d_parameter_gradients(kernel, &case.geometry, &gradient, &mut by_filter, sums);
        let mut alone = vec![0.0; config.out_channels];
        bias_gradient(kernel, grad, &mut alone);
        let parts = [output, by_input, by_filter, by_bias, alone];
        all.extend(parts.into_iter().flatten().map(f32::to_bits));
        let sizes = DenseSizes {
            batch: config.batch,
            inputs: case.input.len() / config.batch,
            outputs: config.out_channels,
        };
        all.extend(dense_layer(kernel, sizes, &case.input));
    }
    all
}

/// A dense layer and its gradients, as bits.
fn dense_layer(kernel: Kernel, sizes: DenseSizes, input: &[f32]) -> Vec<u32> {
    let weights = numbers(sizes.inputs * sizes.outputs, 4);
    let mut output = vec![0.0; sizes.batch * sizes.outputs];
    let layer = DenseLayer {
        sizes,
        weights: DenseWeights::F32(&weights),
        bias: None,
        relu: false,
    };
    dense(kernel, &layer, input, &mut output);
    let grad = Gated::from(&output[..]);
    let mut by_input = vec![0.0; input.len()];
    dense_input_gradient(kernel, sizes, &weights, grad, &mut by_input);
    let mut by_weight = vec![0.0; weights.len()];
    dense_weight_gradient(kernel, sizes, input, grad, &mut by_weight);
    let parts = [output, by_input, by_weight];
    parts.into_iter().flatten().map(f32::to_bits).collect()
}

#[test]
fn results_do_not_depend_on_the_threads() {
    for config in [
        Conv2dConfig::same(3).images(3, 13, 30).channels(17, 33),
        Conv2dConfig::same(3).images(2, 30, 13).channels(3, 20),
        Conv2dConfig::same(3).images(1, 6, 7).channels(257, 513),
        Conv2dConfig::same(5)
            .images(2, 30, 13)
            .channels(8, 40)
            .with(|config| config.stride = (2, 1).into()),
    ] {
        let results = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| everything(config))
        });
        assert!(
            results[0] == results[1] && results[0] == results[2],
            "{config:?}"
        );
    }
}
