//! What is kept of a filter, and what is not.

use super::conv::{ALGORITHMS, Case, RELU_POOL};
use super::{kernels, numbers};
use crate::kernels::{
    Algorithm, Conv2dConfig, Epilogue, FilterWeights, Gated, PackedFilter, conv2d,
    conv2d_input_gradient,
};

/// Filters that are not kept packed, with channels beside every lane count.
#[test]
fn deep_enough_to_transform_filters_as_they_are_multiplied() {
    for config in [
        Conv2dConfig::same(3).images(1, 5, 6).channels(257, 513),
        Conv2dConfig::same(3).images(8, 3, 2).channels(515, 255),
    ] {
        let gate = numbers(Case::new(config).geometry.output_len(), 5);
        for case in [Case::new(config), Case::scaled(config)] {
            for kernel in kernels() {
                for algorithm in [Algorithm::Winograd2, Algorithm::Winograd4] {
                    let Case { geometry, .. } = &case;
                    let filter =
                        PackedFilter::forward_with(kernel, algorithm, geometry, case.given());
                    assert!(!filter.is_kept());
                    case.forward(kernel, algorithm, RELU_POOL);
                    case.forward(kernel, algorithm, Epilogue::default());
                    case.input_gradient(kernel, algorithm, Some(&gate));
                }
            }
        }
    }
}

/// As batch norm folds into them.
#[test]
fn scales_of_channels_out() {
    for (ins, outs) in [(16, 19), (33, 40)] {
        let case = Case::scaled(Conv2dConfig::same(3).images(2, 7, 6).channels(ins, outs));
        for kernel in kernels() {
            for algorithm in ALGORITHMS {
                let relu = Epilogue {
                    relu: true,
                    ..Default::default()
                };
                case.forward(kernel, algorithm, relu);
                case.input_gradient(kernel, algorithm, None);
            }
        }
    }
}

#[test]
fn an_updated_filter_is_a_new_one() {
    let Case {
        geometry,
        input,
        weights,
        grad,
        ..
    } = Case::new(Conv2dConfig::same(3).images(1, 6, 7).channels(16, 17));
    let grad = Gated::from(&grad[..]);
    let others = numbers(weights.len(), 9);
    let [weights, others] = [&weights, &others].map(|weights| FilterWeights::from(&weights[..]));
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let run = |filter: &PackedFilter| {
                let mut output = vec![f32::NAN; geometry.output_len()];
                let filter = filter.with(weights);
                conv2d(&geometry, filter, &input, &Epilogue::default(), &mut output);
                output
            };
            let mut filter = PackedFilter::forward_with(kernel, algorithm, &geometry, others);
            filter.update(weights);
            let fresh = PackedFilter::forward_with(kernel, algorithm, &geometry, weights);
            assert_eq!(run(&filter), run(&fresh));
            let run = |filter: &PackedFilter| {
                let mut output = vec![f32::NAN; geometry.input_len()];
                conv2d_input_gradient(&geometry, filter.with(weights), grad, &mut output);
                output
            };
            let pack = PackedFilter::input_gradient_with;
            let mut filter = pack(kernel, algorithm, &geometry, others);
            filter.update(weights);
            assert_eq!(
                run(&filter),
                run(&pack(kernel, algorithm, &geometry, weights))
            );
        }
    }
}
