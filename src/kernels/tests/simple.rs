use super::{error, kernels, numbers};
use crate::kernels::{Gated, Matrices, bias_gradient, checksum, relu, relu_gradient, transpose};

#[test]
fn relu_and_its_gradient() {
    for kernel in kernels() {
        for len in [0, 1, 15, 16, 17, 20_000] {
            let mut values = numbers(len, 1);
            let expected: Vec<_> = values
                .iter()
                .map(|x| if *x > 0.0 { *x } else { 0.0 })
                .collect();
            relu(kernel, &mut values);
            assert_eq!(values, expected);
            let grad = numbers(len, 2);
            let mut back = vec![f32::NAN; len];
            let gated = Gated {
                values: &grad,
                gate: Some(&values),
            };
            relu_gradient(kernel, gated, &mut back);
            let pass = |i: usize| if values[i] > 0.0 { grad[i] } else { 0.0 };
            assert_eq!(back, (0..len).map(pass).collect::<Vec<_>>());
        }
        let mut back = [5.0];
        let gated = Gated {
            values: &[3.0],
            gate: Some(&[0.0]),
        };
        relu_gradient(kernel, gated, &mut back);
        assert_eq!(back, [0.0]);
    }
}

#[test]
fn bias_gradients_sum_the_rows() {
    for kernel in kernels() {
        for (rows, channels) in [(0, 3), (1, 1), (5, 16), (100, 17), (33, 64), (31, 0)] {
            let grad = numbers(rows * channels, 1);
            let gate = numbers(rows * channels, 2);
            for gate in [None, Some(&gate[..])] {
                let mut bias = vec![f32::NAN; channels];
                let gated = Gated {
                    values: &grad,
                    gate,
                };
                bias_gradient(kernel, gated, &mut bias);
                let mut expected = vec![0.0; channels];
                for (i, value) in grad.iter().enumerate() {
                    if gate.is_none_or(|gate| gate[i] > 0.0) {
                        expected[i % channels] += f64::from(*value);
                    }
                }
                assert!(error(&bias, &expected) < 1e-5, "{rows} {channels}");
            }
        }
    }
}

#[test]
fn transposed_matrices() {
    for (count, rows, columns) in [(0, 3, 5), (1, 1, 1), (2, 3, 35), (1, 17, 16), (3, 40, 33)] {
        let matrices = Matrices {
            count,
            rows,
            columns,
        };
        let input = numbers(count * rows * columns, 1);
        let mut output = vec![f32::NAN; input.len()];
        transpose(matrices, &input, &mut output);
        for (i, value) in input.iter().enumerate() {
            let (matrix, row, column) = (i / columns / rows, i / columns % rows, i % columns);
            assert_eq!(output[(matrix * columns + column) * rows + row], *value);
        }
        let mut back = vec![f32::NAN; input.len()];
        transpose(matrices.transposed(), &output, &mut back);
        assert_eq!(back, input);
    }
}

#[test]
fn a_checksum_depends_on_every_number_and_its_position() {
    let numbers: Vec<f32> = (0..150_001).map(|index| index as f32).collect();
    let sum = checksum(&numbers);
    for position in [0, 1, 15, 16, 65_535, 65_536, 150_000] {
        let mut changed = numbers.clone();
        changed[position] = -changed[position] - 1.0;
        assert_ne!(checksum(&changed), sum, "number {position}");
    }
    let mut swapped = numbers.clone();
    swapped.swap(3, 70_000);
    assert_ne!(checksum(&swapped), sum);
    assert_ne!(checksum(&numbers[..150_000]), sum);
    assert_eq!(checksum(&numbers), sum);
    assert_ne!(checksum(&[0.0]), checksum(&[-0.0]));
}
