use crate::kernels::{Conv2dConfig, Conv2dGeometry, GeometryError};

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    let good = Conv2dConfig::same(3).images(1, 4, 4).channels(4, 4);
    let refused = |config: Conv2dConfig| Conv2dGeometry::new(config).unwrap_err();
    let zero = |size| GeometryError::Zero { size };
    let (kernel_size, stride, dilation) = ((3, 0).into(), (0, 1).into(), (1, 0).into());
    let no_in = Conv2dConfig {
        in_channels: 0,
        ..good
    };
    let no_out = Conv2dConfig {
        out_channels: 0,
        ..good
    };
    assert_eq!(refused(no_in), zero("in_channels"));
    assert_eq!(refused(no_out), zero("out_channels"));
    assert_eq!(
        refused(Conv2dConfig {
            kernel_size,
            ..good
        }),
        zero("kernel_size")
    );
    assert_eq!(refused(Conv2dConfig { stride, ..good }), zero("stride"));
    assert_eq!(refused(Conv2dConfig { dilation, ..good }), zero("dilation"));
    assert_eq!(refused(Conv2dConfig { groups: 0, ..good }), zero("groups"));
    let groups = GeometryError::Groups {
        in_channels: 4,
        out_channels: 4,
        groups: 3,
    };
    assert_eq!(refused(Conv2dConfig { groups: 3, ..good }), groups);
    let window = GeometryError::Window {
        window: 9,
        padded: 6,
    };
    assert_eq!(
        refused(Conv2dConfig {
            dilation: (1, 4).into(),
            ..good
        }),
        window
    );
    let huge = Conv2dConfig {
        batch: usize::MAX / 8,
        ..good
    };
    assert_eq!(refused(huge), GeometryError::Overflow);
    let endless = Conv2dConfig {
        height: usize::MAX,
        ..good
    };
    assert_eq!(refused(endless), GeometryError::Overflow);
}
