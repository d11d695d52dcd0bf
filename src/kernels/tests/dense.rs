use half::{bf16, f16};

use super::{error, kernels, numbers, oracle};
use crate::kernels::{
    DenseLayer, DenseSizes, DenseWeights, Gated, dense, dense_input_gradient, dense_weight_gradient,
};

const SIZES: [(usize, usize, usize); 17] = [
    (0, 5, 3),
    (1, 0, 3),
    (1, 5, 0),
    (1, 1, 1),
    (1, 16, 4),
    (1, 33, 5),
    (1, 2100, 17),
    (2, 47, 33),
    (3, 48, 15),
    (5, 1100, 37),
    (6, 31, 40),
    (7, 65, 2),
    (8, 2049, 31),
    (15, 63, 33),
    (33, 100, 21),
    (9, 0, 3),
    (17, 700, 90),
];

/// Rounding of sums of at most 2100 products, relative to the largest.
const TOLERANCE: f64 = 1e-5;

fn sizes() -> impl Iterator<Item = DenseSizes> {
    SIZES
        .into_iter()
        .map(|(batch, inputs, outputs)| DenseSizes {
            batch,
            inputs,
            outputs,
        })
}

fn check_forward(sizes: DenseSizes, weights: DenseWeights, wide: &[f32]) {
    let DenseSizes {
        batch,
        inputs,
        outputs,
    } = sizes;
    let input = numbers(batch * inputs, 1);
    let bias = numbers(outputs, 3);
    let mut expected = vec![0.0; batch * outputs];
    oracle::dense(sizes, |n, i, o| {
        expected[n * outputs + o] +=
            f64::from(input[n * inputs + i]) * f64::from(wide[o * inputs + i]);
    });
    let biased: Vec<_> = expected
        .iter()
        .enumerate()
        .map(|(i, sum)| sum + f64::from(bias[i % outputs]))
        .collect();
    let rectified: Vec<_> = biased.iter().map(|value| value.max(0.0)).collect();
    for kernel in kernels() {
        for (bias, relu, expected) in [
            (None, false, &expected),
            (Some(&bias[..]), false, &biased),
            (Some(&bias[..]), true, &rectified),
        ] {
            let mut output = vec![f32::NAN; batch * outputs];
            let layer = DenseLayer {
                sizes,
                weights,
                bias,
                relu,
            };
            dense(kernel, &layer, &input, &mut output);
            let error = error(&output, expected);
            assert!(error < TOLERANCE, "{kernel:?} {sizes:?}: {error}");
        }
    }
}

#[test]
fn products_of_all_sizes_and_weight_types() {
    for sizes in sizes() {
        let weights = numbers(sizes.outputs * sizes.inputs, 2);
        check_forward(sizes, DenseWeights::F32(&weights), &weights);
        let half: Vec<_> = weights.iter().map(|&w| f16::from_f32(w)).collect();
        let wide: Vec<_> = half.iter().map(|w| w.to_f32()).collect();
        check_forward(sizes, DenseWeights::F16(&half), &wide);
        let brain: Vec<_> = weights.iter().map(|&w| bf16::from_f32(w)).collect();
        let wide: Vec<_> = brain.iter().map(|w| w.to_f32()).collect();
        check_forward(sizes, DenseWeights::Bf16(&brain), &wide);
    }
}

#[test]
fn gradients_of_all_sizes() {
    for sizes in sizes() {
        let DenseSizes {
            batch,
            inputs,
            outputs,
        } = sizes;
        let input = numbers(batch * inputs, 1);
        let weights = numbers(outputs * inputs, 2);
        let grad = numbers(batch * outputs, 3);
        let gate = numbers(batch * outputs, 4);
        for gate in [None, Some(&gate[..])] {
            let grad = Gated {
                values: &grad,
                gate,
            };
            let gated = oracle::gated(grad);
            let (mut by_input, mut by_weight) = (vec![0.0; input.len()], vec![0.0; weights.len()]);
            oracle::dense(sizes, |n, i, o| {
                let (x, w, g) = (n * inputs + i, o * inputs + i, gated[n * outputs + o]);
                by_input[x] += g * f64::from(weights[w]);
                by_weight[w] += g * f64::from(input[x]);
            });
            for kernel in kernels() {
                let mut output = vec![f32::NAN; input.len()];
                dense_input_gradient(kernel, sizes, &weights, grad, &mut output);
                let found = error(&output, &by_input);
                assert!(found < TOLERANCE, "input {kernel:?} {sizes:?}: {found}");
                let mut output = vec![f32::NAN; weights.len()];
                dense_weight_gradient(kernel, sizes, &input, grad, &mut output);
                let found = error(&output, &by_weight);
                assert!(found < TOLERANCE, "weights {kernel:?} {sizes:?}: {found}");
            }
        }
    }
}
