use crate::kernels::{
    Conv2dConfig, Conv2dGeometry, FeatureMaps, GeometryError, Padding, Pool2dConfig, PoolWindows,
    Size2,
};

const fn zero(size: &'static str) -> GeometryError {
    GeometryError::Zero { size }
}

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    type Change = fn(&mut Conv2dConfig);
    let cases: [(Change, GeometryError); 10] = [
        (|config| config.in_channels = 0, zero("in_channels")),
        (|config| config.out_channels = 0, zero("out_channels")),
        (
            |config| config.kernel_size = (3, 0).into(),
            zero("kernel_size"),
        ),
        (|config| config.stride = (0, 1).into(), zero("stride")),
        (|config| config.dilation = (1, 0).into(), zero("dilation")),
        (|config| config.groups = 0, zero("groups")),
        (
            |config| config.groups = 3,
            GeometryError::Groups {
                in_channels: 4,
                out_channels: 4,
                groups: 3,
            },
        ),
        (
            |config| config.dilation = (1, 4).into(),
            GeometryError::Window {
                window: 9,
                padded: 6,
            },
        ),
        (
            |config| config.batch = usize::MAX / 8,
            GeometryError::Overflow,
        ),
        (
            |config| config.size.height = usize::MAX,
            GeometryError::Overflow,
        ),
    ];
    for (change, expected) in cases {
        let config = Conv2dConfig::same(3).images(1, 4, 4).channels(4, 4);
        let refused = Conv2dGeometry::new(config.with(change));
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn pools_that_do_not_fit_are_refused() {
    type Change = fn(&mut Pool2dConfig);
    let cases: [(Change, GeometryError); 8] = [
        (|config| config.input.size.height = 0, zero("height")),
        (|config| config.input.size.width = 0, zero("width")),
        (|config| config.input.channels = 0, zero("channels")),
        (
            |config| config.kernel_size = (0, 2).into(),
            zero("kernel_size"),
        ),
        (|config| config.stride = (2, 0).into(), zero("stride")),
        (
            |config| config.padding = Padding::all(2),
            GeometryError::Padding {
                padding: 2,
                window: 2,
            },
        ),
        (
            |config| config.kernel_size = (5, 2).into(),
            GeometryError::Window {
                window: 5,
                padded: 4,
            },
        ),
        (
            |config| config.input.batch = usize::MAX / 8,
            GeometryError::Overflow,
        ),
    ];
    for (change, expected) in cases {
        let mut config = Pool2dConfig {
            input: FeatureMaps {
                batch: 1,
                size: Size2::square(4),
                channels: 2,
            },
            kernel_size: Size2::square(2),
            stride: Size2::square(2),
            padding: Padding::default(),
        };
        change(&mut config);
        assert_eq!(PoolWindows::sliding(config), Err(expected));
    }
}
