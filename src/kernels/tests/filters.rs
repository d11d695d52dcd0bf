//! Large filters, scaled filters and updated filters.

use super::conv::{ALGORITHMS, Case, RELU, RELU_POOL};
use super::{kernels, numbers};
use crate::kernels::{Algorithm, Conv2dConfig, Direction, Epilogue, PackedFilter};

/// No number of channels is a multiple of the lanes.
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
                    let filter = case.pack(kernel, Direction::Forward, Some(algorithm));
                    assert!(!filter.is_kept());
                    case.forward(kernel, algorithm, RELU_POOL);
                    case.forward(kernel, algorithm, Epilogue::default());
                    case.input_gradient(kernel, algorithm, Some(&gate));
                }
            }
        }
    }
}

/// Batch norms are folded into filters as such scales.
#[test]
fn scales_of_output_channels() {
    for (ins, outs) in [(16, 19), (33, 40)] {
        let case = Case::scaled(Conv2dConfig::same(3).images(2, 7, 6).channels(ins, outs));
        for kernel in kernels() {
            for algorithm in ALGORITHMS {
                case.forward(kernel, algorithm, RELU);
                case.input_gradient(kernel, algorithm, None);
            }
        }
    }
}

#[test]
fn an_updated_filter_is_like_a_new_one() {
    let case = Case::new(Conv2dConfig::same(3).images(1, 6, 7).channels(16, 17));
    let others = Case {
        weights: numbers(case.weights.len(), 9),
        ..Case::new(*case.geometry.config())
    };
    let updated = |kernel, direction, algorithm| -> [PackedFilter; 2] {
        let mut filter = others.pack(kernel, direction, Some(algorithm));
        filter.update(case.given());
        [filter, case.pack(kernel, direction, Some(algorithm))]
    };
    for kernel in kernels() {
        for algorithm in ALGORITHMS {
            let [filter, fresh] = updated(kernel, Direction::Forward, algorithm)
                .map(|filter| case.output(&filter, Epilogue::default()));
            assert_eq!(filter, fresh);
            let [filter, fresh] = updated(kernel, Direction::InputGradient, algorithm)
                .map(|filter| case.grad_input(&filter, None));
            assert_eq!(filter, fresh);
        }
    }
}
