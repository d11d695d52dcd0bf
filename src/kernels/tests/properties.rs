use proptest::prelude::*;

use super::{conv, pool};
use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, FeatureMaps, Padding, Pool2dConfig, PoolWindows, Size2,
};

fn paddings(most: usize) -> impl Strategy<Value = Padding> {
    (0..=most, 0..=most, 0..=most, 0..=most).prop_map(|(top, bottom, left, right)| Padding {
        top,
        bottom,
        left,
        right,
    })
}

fn sizes(range: std::ops::Range<usize>) -> impl Strategy<Value = Size2> {
    (range.clone(), range).prop_map(Size2::from)
}

fn convolutions() -> impl Strategy<Value = Conv2dConfig> {
    let channels = (1..4usize, 1..12usize, 1..20usize);
    let window = (sizes(1..5), sizes(1..4), sizes(1..3));
    (0..3usize, sizes(1..12), channels, window, paddings(3)).prop_map(
        |(batch, size, (groups, ins, outs), window, padding)| {
            let (kernel_size, stride, dilation) = window;
            let config = Conv2dConfig::same(1).images(batch, size.height, size.width);
            Conv2dConfig {
                kernel_size,
                stride,
                dilation,
                padding,
                groups,
                ..config.channels(groups * ins, groups * outs)
            }
        },
    )
}

fn pools() -> impl Strategy<Value = Pool2dConfig> {
    let window = (sizes(1..5), sizes(1..4), paddings(2));
    (0..3usize, sizes(1..12), 1..20usize, window).prop_map(|(batch, size, channels, window)| {
        let (kernel_size, stride, padding) = window;
        Pool2dConfig {
            input: FeatureMaps {
                batch,
                size,
                channels,
            },
            kernel_size,
            stride,
            padding,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolutions_are_those_of_the_oracle(config in convolutions()) {
        prop_assume!(Conv2dGeometry::new(config).is_ok());
        conv::check(config);
    }

    #[test]
    fn three_by_three_is_that_of_the_oracle(
        (batch, height, width) in (1..3usize, 1..12usize, 1..20usize),
        (ins, outs) in (16..40usize, 16..40usize),
        padding in paddings(3),
    ) {
        let config = Conv2dConfig::same(3).images(batch, height, width).channels(ins, outs);
        let config = Conv2dConfig { padding, ..config };
        prop_assume!(Conv2dGeometry::new(config).is_ok());
        conv::check(config);
    }

    #[test]
    fn pools_are_those_of_the_oracle(config in pools()) {
        prop_assume!(PoolWindows::sliding(config).is_ok());
        pool::check(config);
    }
}
