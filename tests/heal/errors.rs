use candle_core::{Device, Tensor};
use vgg_surgery::error::{HealingError, ImageError};
use vgg_surgery::graph::Shape;
use vgg_surgery::{
    Activation, Conv2d, Error, Head, Healing, Image, MaxPool2d, Model, Preprocessing,
};

use crate::{all_bits, chain, images};

const SIZE: (usize, usize) = (12, 12);

pub fn old() -> Model {
    let head = Head::new()
        .conv2d("a", Conv2d::new(4, 3).same().relu())
        .conv2d("b", Conv2d::new(4, 3).same().relu())
        .max_pool2d("pool", 2)
        .conv2d("behind", Conv2d::new(3, 3).same().relu());
    chain(SIZE, head)
}

fn replaced(old: &Model, conv: Conv2d) -> Model {
    let conv = conv.named("new");
    old.edit(|graph| graph.replace("a"..="b", conv)).unwrap()
}

fn five() -> Conv2d {
    Conv2d::new(4, 5).same().relu()
}

/// The error of healing, which leaves the model alone.
fn refused(new: &mut Model, old: &Model, healing: &Healing) -> Error {
    let before = all_bits(new);
    let error = new.heal_with("new", old, &images(2, 16, 12), healing);
    assert_eq!(all_bits(new), before);
    error.unwrap_err()
}

fn reason(error: &Error) -> &HealingError {
    match error {
        Error::Healing(reason) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn only_convolutions_are_healed() {
    let old = old();
    let mut new = old.edit(Ok).unwrap();
    let error = new.heal("pool", &old, &images(1, 9, 9)).unwrap_err();
    let expected = "layer \"pool\" is a MaxPool2d, not a Conv2d";
    assert_eq!(error.to_string(), expected);
    let error = new.heal("zzzz", &old, &images(1, 9, 9)).unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }));
}

#[test]
fn there_must_be_images_and_a_preprocessing() {
    let old = old();
    let mut new = replaced(&old, five());
    let error = new.heal("new", &old, &[]).unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::EmptyBatch)));
    let nothing = Healing::compose().measured_on([]);
    let error = new.heal_with("new", &old, &images(1, 9, 9), &nothing);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::EmptyBatch)));
    let graph = vgg_surgery::Graph::new("g", (3, 8, 8)).unwrap();
    let graph = graph.attach(Conv2d::new(2, 3).named("new")).unwrap();
    let mut bare = graph.build(&Device::Cpu).unwrap();
    let old = bare.edit(Ok).unwrap();
    let error = bare.heal("new", &old, &images(1, 9, 9)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
}

#[test]
fn the_old_network_must_have_a_place_for_it() {
    let old = old();
    let tail = || {
        Head::new()
            .conv2d("c", Conv2d::new(4, 5).same())
            .conv2d("d", Conv2d::new(4, 1))
    };
    let mut new = old.edit(|graph| graph.replace("a"..="b", tail())).unwrap();
    let error = new.heal("c", &old, &images(1, 9, 9)).unwrap_err();
    assert!(matches!(reason(&error), HealingError::NoCounterpart { .. }));
    assert_eq!(error.layer(), Some("c"));
    // What it should be can be said.
    let healing = Healing::least_squares().toward("b:pre");
    let report = new.heal_with("c", &old, &images(2, 16, 12), &healing);
    let report = report.unwrap();
    assert!(report.after[0].r2 > 0.2, "{report}");
    let healing = Healing::least_squares().toward("zzzz");
    let error = new.heal_with("c", &old, &images(1, 9, 9), &healing);
    assert!(matches!(error.unwrap_err(), Error::UnknownLayer { .. }));
    let healing = Healing::least_squares().toward("pool");
    let error = new.heal_with("c", &old, &images(1, 9, 9), &healing);
    let error = error.unwrap_err();
    let HealingError::Shapes {
        expected, actual, ..
    } = reason(&error)
    else {
        panic!("{error}");
    };
    let shapes = (Shape::map(4, 6, 6), Shape::map(4, 12, 12));
    assert_eq!((*expected, *actual), shapes);
}

#[test]
fn frozen_layers_stay_as_they_are() {
    let old = old();
    let mut new = replaced(&old, five());
    new.freeze("behind").unwrap();
    let error = refused(&mut new, &old, &Healing::distill().adapting_next());
    assert!(matches!(reason(&error), HealingError::Frozen { layer } if layer == "behind"));
    new.freeze("new").unwrap();
    let error = refused(&mut new, &old, &Healing::auto());
    assert!(matches!(reason(&error), HealingError::Frozen { layer } if layer == "new"));
}

#[test]
fn a_product_must_fit() {
    let old = old();
    for (conv, said) in [
        (Conv2d::new(4, 3).same().relu(), "its filters don't hold it"),
        (five().without_bias(), "it has no bias"),
    ] {
        let error = refused(&mut replaced(&old, conv), &old, &Healing::compose());
        assert!(matches!(reason(&error), HealingError::NotComposable { .. }));
        assert!(error.to_string().contains(said), "{error}");
    }
    let head = Head::new()
        .conv2d("a", Conv2d::new(4, 3).same())
        .max_pool2d("p", MaxPool2d::new(3).stride(1).padding(1))
        .conv2d("b", Conv2d::new(4, 3).same())
        .conv2d("behind", Conv2d::new(3, 3));
    let pooled = chain(SIZE, head);
    let mut new = replaced(&pooled, five());
    let error = refused(&mut new, &pooled, &Healing::compose());
    assert!(
        error.to_string().contains("\"p\" is a MaxPool2d"),
        "{error}"
    );
    // The best method does without.
    let healing = Healing::auto().steps(2, 2);
    let report = new
        .heal_with("new", &pooled, &images(2, 16, 12), &healing)
        .unwrap();
    assert!(report.after[0].r2 > report.before[0].r2);
}

#[test]
fn not_every_activation_has_a_closed_form() {
    let old = old();
    let mut conv = five();
    conv.activation = Activation::Tanh;
    let mut new = replaced(&old, conv);
    let error = refused(&mut new, &old, &Healing::least_squares());
    assert!(matches!(reason(&error), HealingError::NotFittable { .. }));
    let healing = Healing::distill().steps(3, 3);
    let report = new.heal_with("new", &old, &images(2, 16, 12), &healing);
    assert_eq!(report.unwrap().steps, 6);
}

#[test]
fn only_what_follows_can_adapt() {
    let old = old();
    let front = Conv2d::new(3, 3).same().named("front");
    let old = old.edit(|graph| graph.insert_before("a", front)).unwrap();
    let mut new = replaced(&old, five());
    for (layer, reason_given) in [
        ("front", "follow"),
        ("pool", "parameters"),
        ("new", "follow"),
    ] {
        let error = refused(&mut new, &old, &Healing::distill().adapting(layer));
        assert!(matches!(reason(&error), HealingError::NotAdaptable { .. }));
        assert!(error.to_string().contains(reason_given), "{error}");
    }
    let error = refused(&mut new, &old, &Healing::distill().adapting("zzzz"));
    assert!(matches!(error, Error::UnknownLayer { .. }));
}

#[test]
fn settings_are_checked() {
    let old = old();
    let mut new = replaced(&old, five());
    for healing in [
        Healing::auto().crops(0),
        Healing::auto().crops(usize::MAX),
        Healing::least_squares().ridge(-1.0),
        Healing::least_squares().ridge(f64::NAN),
        Healing::distill().seconds(0.0),
        Healing::distill().seconds(f64::INFINITY),
        Healing::distill().seconds(1e20),
        Healing::compose().adapting_next(),
        Healing::least_squares().adapting("behind"),
    ] {
        let error = refused(&mut new, &old, &healing);
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn values_must_be_finite() {
    let old = old();
    let mut new = replaced(&old, five());
    let broken = old.edit(Ok).unwrap();
    let variable = &broken.trainable_variables()[0];
    let nan = Tensor::full(f64::NAN, variable.shape(), &Device::Cpu).unwrap();
    variable.set(&nan).unwrap();
    for healing in [Healing::least_squares(), Healing::distill().from_current()] {
        let error = refused(&mut new, &broken, &healing);
        assert!(matches!(reason(&error), HealingError::NonFinite { layer } if layer == "new"));
    }
}

#[test]
fn images_may_keep_sizes_of_their_own() {
    let graph = vgg_surgery::Graph::new("g", (3, 8, 8)).unwrap();
    let graph = graph
        .attach(Conv2d::new(2, 3).named("a"))
        .and_then(|graph| graph.input(Shape::any_size(3)))
        .unwrap()
        .with_preprocessing(Preprocessing::new());
    let old = graph.build(&Device::Cpu).unwrap();
    let conv = Conv2d::new(2, 3).named("new");
    let mut new = old.edit(|graph| graph.replace("a", conv)).unwrap();
    let images: Vec<Image> = [9, 14]
        .into_iter()
        .flat_map(|side| images(2, side, side + 1))
        .collect();
    let report = new
        .heal_with("new", &old, &images, &Healing::least_squares())
        .unwrap();
    assert!(report.after[0].r2 > 0.9999, "{report}");
    let healing = Healing::distill().steps(6, 6).crops(4).seed(2);
    let report = new.heal_with("new", &old, &images, &healing).unwrap();
    // There is no later block to learn from.
    assert_eq!(report.steps, 6);
}
