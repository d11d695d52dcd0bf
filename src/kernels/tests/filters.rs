//! What is kept of a filter, and what is not.

use super::conv::{ALGORITHMS, Case};
use super::{kernels, numbers};
use crate::kernels::{
    Algorithm, Conv2dConfig, Epilogue, FilterWeights, PackedFilter, conv2d, conv2d_input_gradient,
};

/// Filters that are not kept packed, with channels beside every lane count.
#[test]
fn deep_enough_to_transform_filters_as_they_are_multiplied() {
    for (sizes, channels) in [((1, 5, 6), (257, 513)), ((8, 3, 2), (515, 255))] {
        let config = Conv2dConfig::same(sizes, channels, 3);
        let gate = numbers(sizes.0 * sizes.1 * sizes.2 * channels.1, 5);
        for case in [Case::new(config), Case::scaled(config)] {
            for kernel in kernels() {
                for algorithm in [Algorithm::Winograd2, Algorithm::Winograd4] {
                    let Case { geometry, .. } = &case;
                    let filter =
                        PackedFilter::forward_with(kernel, algorithm, geometry, case.given());
                    assert!(!filter.is_kept());
                    case.forward(kernel, algorithm, (true, true));
                    case.forward(kernel, algorithm, (false, false));
                    case.input_gradient(kernel, algorithm, Some(&gate));
                }
            }
        }
    }
}

/// As batch norm folds into them.
#[test]
fn scales_of_channels_out() {
    for channels in [(16, 19), (33, 40)] {
        let case = Case::scaled(Conv2dConfig::same((2, 7, 6), channels, 3));
        for kernel in kernels() {
            for algorithm in ALGORITHMS {
                case.forward(kernel, algorithm, (true, false));
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
    } = Case::new(Conv2dConfig::same((1, 6, 7), (16, 17), 3));
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
                conv2d_input_gradient(&geometry, filter.with(weights), &grad, None, &mut output);
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
