use vgg_surgery::heal::HealingMethod;
use vgg_surgery::preprocess::ChannelOrder;
use vgg_surgery::{Activation, Conv2d, Head, Healing, Model, Preprocessing};

use crate::{all_bits, assert_close, chain, images, input, parameter, values};

const SIZE: (usize, usize) = (16, 12);

/// The same layer again, new, and healed without a ridge.
fn recovered(conv: Conv2d) -> (Model, Model) {
    let head = Head::new()
        .conv2d("before", Conv2d::new(4, 3).same())
        .conv2d("a", conv.clone())
        .conv2d("behind", Conv2d::new(3, 3));
    let old = chain(SIZE, head);
    let mut new = old
        .edit(|graph| graph.replace("a", conv.named("new")))
        .unwrap();
    let healing = Healing::least_squares().ridge(0.0);
    let report = new
        .heal_with("new", &old, &images(3, 30, 20), &healing)
        .unwrap();
    assert_eq!(report.method, HealingMethod::LeastSquares);
    (old, new)
}

#[test]
fn a_filter_is_found_again() {
    for conv in [
        Conv2d::new(5, 3),
        Conv2d::new(5, 3).same(),
        Conv2d::new(5, (1, 4)).stride((2, 1)).same(),
        Conv2d::new(6, 3).groups(2).padding(2).without_bias(),
        Conv2d::new(5, 2).dilation((2, 3)).same(),
    ] {
        let what = format!("{conv:?}");
        let (old, new) = recovered(conv.clone());
        let parameters = if conv.bias { 2 } else { 1 };
        for name in &["weight", "bias"][..parameters] {
            let actual = parameter(&new, &format!("new.{name}"));
            let expected = parameter(&old, &format!("a.{name}"));
            // The condition of the equations is some 1e4.
            assert_close(&actual, &expected, 1e-9, &what);
        }
        let x = input(SIZE, 3);
        let (expected, actual) = (old.forward(&x).unwrap(), new.forward(&x).unwrap());
        assert_close(&actual, &expected, 1e-9, &what);
    }
}

/// The error after the ReLU is what is made small: ever nearer, pass by pass,
/// to the filter that has none.
#[test]
fn a_filter_behind_a_relu_is_approached() {
    let (old, new) = recovered(Conv2d::new(5, 3).same().relu());
    let preprocessing = new.graph().input_preprocessing().unwrap();
    let x = preprocessing.apply_batch(&images(2, 16, 12)).unwrap();
    let verification = new.verify(&old, &x).unwrap();
    let behind = verification.layer("behind").unwrap();
    assert!(behind.r2 > 0.99, "{verification}");
}

#[test]
fn nothing_else_changes() {
    let (old, new) = recovered(Conv2d::new(5, 3).same());
    let old = all_bits(&old).into_iter();
    let rest = |key: &str| !key.starts_with("a.") && !key.starts_with("new.");
    let old: Vec<_> = old.filter(|(key, _)| rest(key)).collect();
    let new: Vec<_> = all_bits(&new)
        .into_iter()
        .filter(|(key, _)| rest(key))
        .collect();
    assert_eq!(old.len(), 4);
    assert_eq!(old, new);
}

#[test]
fn a_ridge_pulls_weights_towards_zero() {
    let head = Head::new().conv2d("a", Conv2d::new(2, 1));
    let old = chain(SIZE, head);
    let healed = |ridge: f64| {
        let conv = Conv2d::new(2, 1).named("new");
        let mut new = old.edit(|graph| graph.replace("a", conv)).unwrap();
        let healing = Healing::least_squares().ridge(ridge);
        new.heal_with("new", &old, &images(2, 12, 16), &healing)
            .unwrap();
        let weight = values(&parameter(&new, "new.weight"));
        weight.iter().map(|w| w * w).sum::<f64>()
    };
    let sizes = [0.0, 0.01, 0.1, 0.9].map(healed);
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
}

#[test]
fn the_activation_decides_what_is_fitted() {
    let layers = || {
        Head::new()
            .conv2d("a", Conv2d::new(4, 3))
            .activation("z", Activation::Relu)
    };
    let old = chain(SIZE, layers());
    let errors = [Conv2d::new(4, 3).relu(), Conv2d::new(4, 3)].map(|conv| {
        let mut new = old
            .edit(|graph| graph.replace("a"..="z", conv.named("new")))
            .unwrap();
        let report = new
            .heal_with("new", &old, &images(2, 12, 16), &Healing::least_squares())
            .unwrap();
        1.0 - report.after[0].r2
    });
    assert!(errors[0] < errors[1] / 2.0, "{errors:?}");
}

/// A network whose images have twice the values needs half the weights.
#[test]
fn each_network_preprocesses_the_images_as_it_needs_them() {
    let old = chain(
        (12, 16),
        Head::new()
            .conv2d("a", Conv2d::new(2, 1))
            .conv2d("b", Conv2d::new(2, 1)),
    );
    let new = old
        .edit(|graph| graph.replace("a", Conv2d::new(2, 1).named("new")))
        .unwrap();
    let doubled = Preprocessing::new().with_std([0.5; 3]);
    let mut new = new.edit(|g| Ok(g.with_preprocessing(doubled))).unwrap();
    let report = new.heal_with("new", &old, &images(2, 16, 12), &Healing::least_squares());
    assert!(report.unwrap().after[0].r2 > 1.0 - 1e-9);
    let expected = (parameter(&old, "a.weight") / 2.0).unwrap();
    assert_close(&parameter(&new, "new.weight"), &expected, 1e-6, "weight");
}

/// With one mean for all channels, the network of one channel computes the same
/// from gray images, and so learns the layer that the old one had.
#[test]
fn a_network_of_one_channel_learns_from_one_of_three() {
    let head = Head::new()
        .conv2d("before", Conv2d::new(4, 3).same())
        .conv2d("a", Conv2d::new(5, 3).same());
    let old = chain(SIZE, head);
    let conv = Conv2d::new(5, 3).same().named("new");
    let gray = old.adapt_input(1).unwrap();
    let mut new = gray.edit(|graph| graph.replace("a", conv)).unwrap();
    let one = Preprocessing::new().with_channel_order(ChannelOrder::Gray);
    let lessons = images(3, 30, 20).into_iter();
    let lessons: Vec<_> = lessons.map(|image| one.fit(&image).unwrap()).collect();
    let healing = Healing::least_squares().ridge(0.0);
    new.heal_with("new", &old, &lessons, &healing).unwrap();
    for name in ["weight", "bias"] {
        let actual = parameter(&new, &format!("new.{name}"));
        assert_close(&actual, &parameter(&old, &format!("a.{name}")), 1e-6, name);
    }
}
