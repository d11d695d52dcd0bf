use super::conv::{Case, RELU, RELU_POOL};
use super::kernels;
use crate::kernels::{Conv2dConfig, Conv2dLayer, Direction, computes_ahead, conv2d, conv2d_stack};

/// Three layers, the second of which pools.
fn layers(batch: usize, size: usize) -> [Case; 3] {
    [
        Conv2dConfig::same(3)
            .images(batch, size, size)
            .channels(3, 32),
        Conv2dConfig::same(3)
            .images(batch, size, size)
            .channels(32, 16),
        Conv2dConfig::same(5)
            .images(batch, size / 2, size / 2)
            .channels(16, 8),
    ]
    .map(Case::new)
}

#[test]
fn a_stack_computes_what_its_layers_do() {
    let kernel = kernels()[0];
    // The largest feature maps of the last three take more than a cache.
    for (batch, size) in [(0, 8), (1, 6), (3, 7), (2, 300), (9, 150), (3, 280)] {
        let cases = layers(batch, size);
        let filters = cases
            .each_ref()
            .map(|case| case.pack(kernel, Direction::Forward, None));
        let epilogues = [RELU, RELU_POOL, RELU];
        let calls: [_; 3] = std::array::from_fn(|i| cases[i].call(&filters[i], epilogues[i]));
        let alone = |conv| Conv2dLayer { before: None, conv };
        let [first, second, third] = calls;
        let pair = Conv2dLayer {
            before: Some(first),
            conv: second,
        };
        let input = &cases[0].input;
        let mut expected = input.clone();
        for (count, call) in calls.iter().enumerate() {
            let mut next = vec![f32::NAN; call.output_len()];
            conv2d(call, &expected, &mut next);
            expected = next;
            let layers = calls[..=count].iter().copied().map(alone);
            let mut output = vec![f32::NAN; expected.len()];
            conv2d_stack(&layers.collect::<Vec<_>>(), input, &mut output);
            assert!(output == expected, "{batch} {size} {count}");
        }
        if computes_ahead(&first.geometry, &second.geometry) {
            let mut output = vec![f32::NAN; expected.len()];
            conv2d_stack(&[pair, alone(third)], input, &mut output);
            assert!(output == expected, "{batch} {size} in pairs");
        }
    }
    let [first, second, _] = layers(1, 6).map(|case| case.geometry);
    assert!(computes_ahead(&first, &second));
}

#[test]
fn a_stack_without_layers_copies_the_input() {
    let mut output = [0.0; 3];
    conv2d_stack(&[], &[1.0, 2.0, 3.0], &mut output);
    assert_eq!(output, [1.0, 2.0, 3.0]);
}
