use candle_core::Device;
use vgg_surgery::accelerate::Acceleration;
use vgg_surgery::error::{AccelerationError, ImageError};
use vgg_surgery::{Conv2d, Error, Graph, Head, Preprocessing, Vgg16};

use crate::{nano, textures};

#[test]
fn a_budget_that_no_network_meets_names_the_best() {
    let refused = nano().accelerate(&Acceleration::macs(1e5), &textures(3, 1));
    let Err(Error::Acceleration(AccelerationError::OutOfReach { budget, best })) = refused else {
        panic!("accepted");
    };
    assert_eq!(budget, "100000 times fewer multiplications");
    assert!(best.ends_with("times fewer"), "{best}");
}

#[test]
fn a_single_convolution_has_nothing_to_lose() {
    let conv = Head::new().conv2d("conv", Conv2d::new(4, 3).same());
    let graph = Graph::new("g", (3, 32, 32)).unwrap().attach(conv).unwrap();
    let graph = graph.with_preprocessing(Preprocessing::torchvision().with_size(32, 32));
    let model = graph.build(&Device::Cpu).unwrap();
    let refused = model.accelerate(&Acceleration::macs(2.0), &textures(2, 1));
    let Err(Error::Acceleration(AccelerationError::NothingToRemove)) = refused else {
        panic!("accepted");
    };
}

#[test]
fn channels_that_a_layer_can_not_have_are_refused() {
    let (model, images) = (nano(), textures(2, 1));
    for count in [0, 1 << 20] {
        let budget = Acceleration::channels([("block2_conv1", count)]).seconds(1.0);
        let refused = model.accelerate(&budget, &images);
        let Err(Error::Acceleration(AccelerationError::OutOfReach { best, .. })) = refused else {
            panic!("{count} accepted");
        };
        assert!(best.ends_with("channels of \"block2_conv1\""), "{best}");
    }
    let last = Acceleration::channels([("block4_conv3", 4)]);
    let refused = model.accelerate(&last, &images);
    assert!(matches!(refused, Err(Error::IllegalEdit { .. })));
    let unknown = Acceleration::channels([("block9_conv1", 4)]);
    let refused = model.accelerate(&unknown, &images);
    assert!(matches!(refused, Err(Error::UnknownLayer { .. })));
    let none = Acceleration::channels(Vec::<(String, usize)>::new());
    let refused = model.accelerate(&none, &images);
    assert!(matches!(
        refused,
        Err(Error::Acceleration(AccelerationError::NothingToRemove))
    ));
}

#[test]
fn settings_out_of_range_are_refused() {
    let (model, images) = (nano(), textures(2, 1));
    for illegal in [
        Acceleration::speedup(0.5),
        Acceleration::speedup(f64::NAN),
        Acceleration::milliseconds(0.0),
        Acceleration::milliseconds(f64::INFINITY),
        Acceleration::macs(-1.0),
        Acceleration::parameters(1e9),
        Acceleration::r2(1.0),
        Acceleration::macs(2.0).seconds(0.0),
        Acceleration::macs(2.0).batch(0),
    ] {
        let refused = model.accelerate(&illegal, &images);
        assert!(
            matches!(refused, Err(Error::InvalidSetting { .. })),
            "{illegal:?}"
        );
    }
    let refused = model.frontier(&[2.0, 0.1], &Acceleration::speedup(1.0), &images);
    assert!(matches!(refused, Err(Error::InvalidSetting { .. })));
}

#[test]
fn images_and_preprocessing_are_needed() {
    let budget = Acceleration::macs(2.0);
    let refused = nano().accelerate(&budget, &[]);
    assert!(matches!(refused, Err(Error::Image(ImageError::EmptyBatch))));
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let refused = model.accelerate(&budget, &textures(2, 1));
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    let budget = Acceleration::macs(2.0).keeping("block9");
    let refused = nano().accelerate(&budget, &textures(2, 1));
    assert!(matches!(refused, Err(Error::UnknownLayer { .. })));
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let model = nano();
    let model = model.edit(|graph| graph.unfreeze("block2_conv1")).unwrap();
    let variable = &model.trainable_variables()[0];
    let nan = (variable.as_tensor().zeros_like().unwrap() / 0.0).unwrap();
    variable.set(&nan).unwrap();
    let refused = model.accelerate(&Acceleration::macs(2.0), &textures(2, 1));
    assert!(matches!(
        refused,
        Err(Error::Acceleration(AccelerationError::NonFinite { .. }))
    ));
}
