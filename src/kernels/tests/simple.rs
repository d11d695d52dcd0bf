use super::{error, kernels, numbers};
use crate::kernels::{
    FeatureMaps, Gated, bias_gradient, nchw_to_nhwc, nhwc_to_nchw, relu, relu_gradient,
};

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
fn layouts_turn_and_return() {
    for (batch, channels, pixels) in [(0, 3, 5), (1, 1, 1), (2, 3, 35), (1, 17, 16), (3, 40, 33)] {
        let maps = FeatureMaps {
            batch,
            channels,
            pixels,
        };
        let input = numbers(batch * channels * pixels, 1);
        let mut output = vec![f32::NAN; input.len()];
        nchw_to_nhwc(maps, &input, &mut output);
        for n in 0..batch {
            for c in 0..channels {
                for p in 0..pixels {
                    let moved = output[(n * pixels + p) * channels + c];
                    assert_eq!(moved, input[(n * channels + c) * pixels + p]);
                }
            }
        }
        let mut back = vec![f32::NAN; input.len()];
        nhwc_to_nchw(maps, &output, &mut back);
        assert_eq!(back, input);
    }
}
