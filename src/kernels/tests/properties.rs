use proptest::prelude::*;

use super::{conv, pool};
use crate::kernels::{Conv2dConfig, Conv2dGeometry, Padding, Pool2dConfig, Pool2dGeometry};

fn paddings(most: usize) -> impl Strategy<Value = Padding> {
    (0..=most, 0..=most, 0..=most, 0..=most).prop_map(|(top, bottom, left, right)| Padding {
        top,
        bottom,
        left,
        right,
    })
}

fn convolutions() -> impl Strategy<Value = Conv2dConfig> {
    let map = (0..3usize, 1..12usize, 1..12usize);
    let channels = (1..4usize, 1..12usize, 1..20usize);
    let window = (
        (1..5usize, 1..5usize),
        (1..4usize, 1..4usize),
        (1..3usize, 1..3usize),
    );
    (map, channels, window, paddings(3)).prop_map(|(map, channels, window, padding)| {
        let (groups, ins, outs) = channels;
        let (kernel_size, stride, dilation) = window;
        let config = Conv2dConfig::same(map, (groups * ins, groups * outs), 1);
        Conv2dConfig {
            kernel_size,
            stride,
            dilation,
            padding,
            groups,
            ..config
        }
    })
}

fn pools() -> impl Strategy<Value = Pool2dConfig> {
    let map = (0..3usize, 1..12usize, 1..12usize, 1..20usize);
    let window = ((1..5usize, 1..5usize), (1..4usize, 1..4usize));
    (map, window, paddings(2)).prop_map(|(map, (kernel_size, stride), padding)| {
        let (batch, height, width, channels) = map;
        Pool2dConfig {
            batch,
            height,
            width,
            channels,
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
        map in (1..3usize, 1..12usize, 1..20usize),
        channels in (16..40usize, 16..40usize),
        padding in paddings(3),
    ) {
        let config = Conv2dConfig { padding, ..Conv2dConfig::same(map, channels, 3) };
        prop_assume!(Conv2dGeometry::new(config).is_ok());
        conv::check(config);
    }

    #[test]
    fn pools_are_those_of_the_oracle(config in pools()) {
        prop_assume!(Pool2dGeometry::new(config).is_ok());
        pool::check(config);
    }
}
