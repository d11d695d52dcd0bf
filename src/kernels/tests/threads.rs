//! The same bits whatever the number of threads.

use super::{kernels, numbers};
use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, DenseLayer, DenseSizes, DenseWeights, Epilogue, FilterGradient,
    FilterWeights, Gated, Kernel, PackedFilter, bias_gradient, conv2d, conv2d_input_gradient,
    conv2d_parameter_gradients, dense, dense_input_gradient, dense_weight_gradient,
};

/// Everything that sums, as bits, one after the other.
fn everything(config: Conv2dConfig) -> Vec<u32> {
    let geometry = Conv2dGeometry::new(config).unwrap();
    let input = numbers(geometry.input_len(), 1);
    let weights = numbers(geometry.filter_len(), 2);
    let grad = numbers(geometry.output_len(), 3);
    let grad = Gated::from(&grad[..]);
    let mut all = Vec::new();
    let given = FilterWeights::from(&weights[..]);
    for kernel in kernels() {
        let filter = PackedFilter::forward(kernel, &geometry, given);
        let mut output = vec![0.0; geometry.output_len()];
        conv2d(
            &geometry,
            filter.with(given),
            &input,
            &Epilogue::default(),
            &mut output,
        );
        let filter = PackedFilter::input_gradient(kernel, &geometry, given);
        let mut by_input = vec![0.0; geometry.input_len()];
        conv2d_input_gradient(&geometry, filter.with(given), grad, &mut by_input);
        let mut by_filter = vec![0.0; geometry.filter_len()];
        let gradient = FilterGradient {
            input: &input,
            grad_output: grad,
        };
        let mut by_bias = vec![0.0; config.out_channels];
        let sums = Some(&mut by_bias[..]);
        conv2d_parameter_gradients(kernel, &geometry, &gradient, &mut by_filter, sums);
        let mut alone = vec![0.0; config.out_channels];
        bias_gradient(kernel, grad, &mut alone);
        let parts = [output, by_input, by_filter, by_bias, alone];
        all.extend(parts.into_iter().flatten().map(f32::to_bits));
        let sizes = DenseSizes {
            batch: config.batch,
            inputs: geometry.input_len() / config.batch,
            outputs: config.out_channels,
        };
        all.extend(dense_layer(kernel, sizes, &input));
    }
    all
}

/// A dense layer and its gradients, as bits.
fn dense_layer(kernel: Kernel, sizes: DenseSizes, input: &[f32]) -> Vec<u32> {
    let DenseSizes {
        batch,
        inputs,
        outputs,
    } = sizes;
    let weights = numbers(inputs * outputs, 4);
    let mut output = vec![0.0; batch * outputs];
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
        Conv2dConfig {
            stride: (2, 1).into(),
            ..Conv2dConfig::same(5).images(2, 30, 13).channels(8, 40)
        },
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
