//! Settings and shapes that layers refuse.

use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{
    AdaptiveAvgPool2d, Concat, GlobalMaxPool2d, Layer, Margins, Padding, Rescale, Upsample,
    ZeroPad2d,
};
use vgg_surgery::{
    AvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Error, Flatten, GlobalAvgPool2d, Graph,
    MaxPool2d,
};

use crate::errors::of;
use crate::two_blocks;

/// Why a layer is refused on the second block's map, `(8, 8, 8)`.
fn reason(layer: impl Into<Layer>) -> String {
    let layer = vgg_surgery::layers::NamedLayer::new("x", layer);
    match of(two_blocks().attach(layer)) {
        Error::InvalidLayer { layer, reason } => {
            assert_eq!(layer, "x");
            reason
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn settings_that_no_layer_can_have() {
    const MAX: usize = usize::MAX;
    let conv = || Conv2d::new(4, 3);
    let in_range = |what: &str| format!("{what} must be from 1 to 16777216");
    assert_eq!(
        reason(Conv2d::new(MAX, 3)),
        in_range(&format!("out_channels {MAX}"))
    );
    assert_eq!(
        reason(Conv2d::new(1, (0, 3))),
        in_range("kernel_size (0, 3)")
    );
    assert_eq!(reason(conv().stride((1, 0))), in_range("stride (1, 0)"));
    assert_eq!(reason(conv().dilation((0, 1))), in_range("dilation (0, 1)"));
    assert_eq!(
        reason(conv().dilation(1 << 24)),
        "kernel_size (3, 3) with dilation (16777216, 16777216) reaches too far"
    );
    for groups in [0, 3, 16, MAX] {
        let expected = format!("groups {groups} must divide both 8 input and 4 output channels");
        assert_eq!(reason(conv().groups(groups)), expected);
    }
    assert!(reason(conv().padding(MAX)).ends_with("must not exceed 16777216"));
    assert!(reason(ZeroPad2d::new(MAX)).ends_with("must not exceed 16777216"));
    let beyond = |text: String| assert!(text.ends_with("must be at most half the window 2x2"));
    beyond(reason(MaxPool2d::new(2).padding(2)));
    beyond(reason(AvgPool2d::new(2).padding(Margins {
        right: 2,
        ..Margins::default()
    })));
    let huge = (1 << 13, 1 << 13);
    let too_many = "kernel_size (8192, 8192) must cover at most 16777216 pixels";
    assert_eq!(
        reason(MaxPool2d::new(huge).padding(Padding::Same)),
        too_many
    );
    assert_eq!(
        reason(AvgPool2d::new(huge).padding(Padding::Same)),
        too_many
    );
    assert!(reason(Upsample::times(1 << 20)).ends_with("that fit into memory"));
    assert_eq!(reason(MaxPool2d::new(0)), in_range("kernel_size (0, 0)"));
    assert_eq!(
        reason(AvgPool2d::new(2).stride(0)),
        in_range("stride (0, 0)")
    );
    assert_eq!(
        reason(AdaptiveAvgPool2d::new((0, 1))),
        in_range("output_size (0, 1)")
    );
    assert_eq!(reason(Dense::new(0)), in_range("units 0"));
    for rate in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let expected = format!("rate {rate} must be at least 0 and below 1");
        assert_eq!(reason(Dropout::new(rate)), expected);
    }
    for eps in [-1.0, f64::NAN, f64::INFINITY] {
        let text = reason(BatchNorm2d::new().eps(eps));
        assert!(text.starts_with(&format!("eps {eps} must ")), "{text}");
    }
    for momentum in [-0.1, 1.1, f64::NAN] {
        let expected = format!("momentum {momentum} must be from 0 to 1");
        assert_eq!(reason(BatchNorm2d::new().momentum(momentum)), expected);
    }
    assert_eq!(
        reason(Rescale::per_channel([1.0, 2.0], [])),
        "2 scales and 0 offsets were given for 8 channels; give one, or one for each channel"
    );
    assert_eq!(reason(Upsample::times((0, 1))), in_range("factor (0, 1)"));
    assert_eq!(
        reason(Upsample::fixed(MAX)),
        in_range(&format!("size ({MAX}, {MAX})"))
    );
    assert_eq!(
        reason(Upsample::times(1 << 23)),
        "its output would exceed 16777216 pixels a side"
    );
}

#[test]
fn shapes_that_layers_can_not_take() {
    let vector = || Graph::new("v", 6).unwrap();
    let expects_map = |layer: Layer| {
        let layer = vgg_surgery::layers::NamedLayer::new("x", layer);
        match of(vector().attach(layer)) {
            Error::ShapeMismatch {
                layer,
                expected,
                actual,
            } => {
                assert_eq!((layer.as_str(), actual), ("x", Shape::vector(6)));
                assert_eq!(expected, "a feature map (C, H, W)");
            }
            error => panic!("{error:?}"),
        }
    };
    expects_map(Conv2d::new(1, 1).into());
    expects_map(MaxPool2d::new(1).into());
    expects_map(AvgPool2d::new(1).into());
    expects_map(GlobalAvgPool2d.into());
    expects_map(GlobalMaxPool2d.into());
    expects_map(AdaptiveAvgPool2d::new(1).into());
    expects_map(Upsample::times(2).into());
    expects_map(ZeroPad2d::new(1).into());
    for layer in [
        Layer::from(Flatten::new()),
        BatchNorm2d::new().into(),
        Dropout::new(0.5).into(),
        Dense::new(2).into(),
        Rescale::new(1.0, 0.0).into(),
    ] {
        assert!(vector().attach(layer).is_ok());
    }
    let large = Graph::new("large", (1, 1 << 13, 1 << 13)).unwrap();
    let error = of(large.attach(Flatten::new().named("x")));
    let text = "layer \"x\" expects a map of at most 16777216 values, but gets (1, 8192, 8192)";
    assert_eq!(error.to_string(), text);
    let mut wide = Graph::new("wide", (1 << 23, 1, 1)).unwrap();
    let input = wide.node_id("input").unwrap();
    let error = of(wide.add("x", Concat::channels(), [input; 3]));
    let text = "layer \"x\": 25165824 channels are too many; 16777216 is the limit";
    assert_eq!(error.to_string(), text);
    let mut mixed = Graph::new("mixed", (1, 4, 4)).unwrap();
    let input = mixed.node_id("input").unwrap();
    let pooled = mixed.add("pooled", GlobalAvgPool2d, [input]).unwrap();
    let error = of(mixed.add("x", Upsample::to(pooled), [input]));
    let text = "layer \"x\" expects a map as second input, but gets (1)";
    assert_eq!(error.to_string(), text);
}
