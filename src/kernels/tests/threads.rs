//! The same bits whatever the number of threads.

use super::{kernels, numbers};
use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, Dense, DenseWeights, Epilogue, FilterGradient, PackedFilter,
    bias_gradient, conv2d, conv2d_filter_gradient, conv2d_input_gradient, dense,
    dense_input_gradient, dense_weight_gradient,
};

/// Everything that sums, as bits, one after the other.
fn everything(config: Conv2dConfig) -> Vec<u32> {
    let geometry = Conv2dGeometry::new(config).unwrap();
    let input = numbers(geometry.input_len(), 1);
    let weights = numbers(geometry.filter_len(), 2);
    let grad = numbers(geometry.output_len(), 3);
    let mut all = Vec::new();
    for kernel in kernels() {
        let filter = PackedFilter::forward(kernel, &geometry, &weights);
        let mut output = vec![0.0; geometry.output_len()];
        conv2d(
            &geometry,
            &filter,
            &input,
            &Epilogue::default(),
            &mut output,
        );
        let filter = PackedFilter::input_gradient(kernel, &geometry, &weights);
        let mut by_input = vec![0.0; geometry.input_len()];
        conv2d_input_gradient(&geometry, &filter, &grad, None, &mut by_input);
        let mut by_filter = vec![0.0; geometry.filter_len()];
        let gradient = FilterGradient {
            input: &input,
            grad_output: &grad,
            relu_output: None,
        };
        conv2d_filter_gradient(kernel, &geometry, &gradient, &mut by_filter);
        let mut by_bias = vec![0.0; config.out_channels];
        bias_gradient(kernel, &grad, None, &mut by_bias);
        let sizes = Dense {
            batch: config.batch,
            inputs: geometry.input_len() / config.batch,
            outputs: config.out_channels,
        };
        let weights = numbers(sizes.inputs * sizes.outputs, 4);
        let mut dense_output = vec![0.0; sizes.batch * sizes.outputs];
        let kernel = (kernel, sizes);
        dense(
            kernel,
            &input,
            DenseWeights::F32(&weights),
            (None, false),
            &mut dense_output,
        );
        let mut dense_by_input = vec![0.0; input.len()];
        dense_input_gradient(kernel, &weights, &dense_output, None, &mut dense_by_input);
        let mut by_weight = vec![0.0; weights.len()];
        dense_weight_gradient(kernel, &input, &dense_output, None, &mut by_weight);
        for part in [
            output,
            by_input,
            by_filter,
            by_bias,
            dense_output,
            dense_by_input,
            by_weight,
        ] {
            all.extend(part.into_iter().map(f32::to_bits));
        }
    }
    all
}

#[test]
fn results_do_not_depend_on_the_threads() {
    for config in [
        Conv2dConfig::same((3, 13, 30), (17, 33), 3),
        Conv2dConfig::same((2, 30, 13), (3, 20), 3),
        Conv2dConfig {
            stride: (2, 1),
            ..Conv2dConfig::same((2, 30, 13), (8, 40), 5)
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
