//! Whose layers are whose, and what is still to be learned.

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::HealingError;
use vgg_surgery::graph::Shape;
use vgg_surgery::heal::HealingMethod;
use vgg_surgery::layers::Init;
use vgg_surgery::model::{BuildOptions, LoadOptions};
use vgg_surgery::{Conv2d, Error, Graph, Head, Healing, Model, Preprocessing};

use crate::errors::old;
use crate::{all_bits, chain, images};

fn set(model: &Model, key: &str, change: impl Fn(&Tensor) -> candle_core::Result<Tensor>) {
    let found = model
        .parameters()
        .find(|p| format!("{}.{}", p.layer, p.name) == key);
    let variable = candle_core::Var::from_tensor(found.unwrap().tensor).unwrap();
    let own = model.trainable_variables().into_iter().find(|own| {
        own.as_detached_tensor().dims() == variable.dims()
            && bits(&own.as_detached_tensor()) == bits(&variable.as_detached_tensor())
    });
    let own = own.unwrap();
    own.set(&change(&own.as_detached_tensor()).unwrap())
        .unwrap();
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    crate::values(tensor)
        .into_iter()
        .map(f64::to_bits)
        .collect()
}

#[test]
fn a_new_layer_of_an_old_name_is_not_the_old_layer() {
    let old = old();
    let fresh = Conv2d::new(4, 3).same().relu().named("a");
    let mut new = old.edit(|graph| graph.replace("a", fresh)).unwrap();
    let healing = Healing::auto().steps(2, 2);
    let report = new
        .heal_with("b", &old, &images(2, 16, 12), &healing)
        .unwrap();
    assert!(!report.is_exact, "{report}");
    assert_ne!(report.method, HealingMethod::Compose);
    assert!(report.after[0].r2 > report.before[0].r2, "{report}");
}

/// By name it is the same layer, but what comes before it has changed.
#[test]
fn a_composition_that_misses_the_old_values_is_not_the_end() {
    let old = old();
    let new = Model::from_bytes(old.to_bytes().unwrap(), &Device::Cpu, &LoadOptions::new());
    let mut new = new.unwrap();
    set(&new, "a.weight", |weight| weight * -1.0);
    let healing = Healing::auto().steps(2, 2);
    let report = new
        .heal_with("b", &old, &images(2, 16, 12), &healing)
        .unwrap();
    assert_ne!(report.method, HealingMethod::Compose, "{report}");
    assert!(report.after[0].r2 > report.before[0].r2, "{report}");
}

/// A layer that already gives what it should, behind one that is new.
#[test]
fn the_best_of_all_begins_where_it_is_told_to() {
    let old = old();
    let head = Head::new()
        .conv2d("c", Conv2d::new(4, 1).without_bias())
        .conv2d("d", Conv2d::new(4, 3).same().relu());
    let mut new = old.edit(|graph| graph.replace("b", head)).unwrap();
    let identity = Tensor::eye(4, DType::F64, &Device::Cpu).unwrap();
    let identity = identity.reshape((4, 4, 1, 1)).unwrap();
    set(&new, "c.weight", |_| Ok(identity.clone()));
    for name in ["weight", "bias"] {
        let wanted = crate::parameter(&old, &format!("b.{name}"));
        set(&new, &format!("d.{name}"), |_| Ok(wanted.clone()));
    }
    let auto = Healing::auto().steps(0, 0);
    let heal = |new: &mut Model, healing: &Healing| {
        new.heal_with("d", &old, &images(2, 16, 12), healing)
            .unwrap()
    };
    let before = all_bits(&new);
    let report = heal(&mut new, &auto.clone().from_current());
    assert_eq!(report.method, HealingMethod::Distill, "{report}");
    assert!(report.after[0].r2 > 1.0 - 1e-12, "{report}");
    assert_eq!(all_bits(&new), before);
    assert_eq!(heal(&mut new, &auto).method, HealingMethod::LeastSquares);
    assert_ne!(all_bits(&new), before);
}

#[test]
fn layers_adapt_only_where_features_are_learned() {
    let old = old();
    let five = Conv2d::new(4, 5).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
    let healing = Healing::distill().adapting_next().steps(2, 2).only_output();
    let report = new.heal_with("new", &old, &images(2, 16, 12), &healing);
    let report = report.unwrap();
    assert_eq!((report.steps, report.adapted.len()), (2, 0), "{report}");
}

/// Values that are all alike say nothing but themselves.
#[test]
fn what_never_varies_is_learned_without_overflow() {
    let dead = Conv2d::new(4, 3)
        .same()
        .relu()
        .kernel_init(Init::ZEROS)
        .named("a");
    let graph = Graph::new("g", (3, 8, 8)).unwrap();
    let graph = graph
        .attach(vec![dead, Conv2d::new(2, 1).named("behind")])
        .unwrap()
        .with_preprocessing(Preprocessing::new());
    let old = graph.build(&Device::Cpu).unwrap();
    let fresh = Conv2d::new(4, 3).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a", fresh)).unwrap();
    let healing = Healing::distill().from_current().steps(20, 0);
    new.heal_with("new", &old, &images(2, 12, 12), &healing)
        .unwrap();
    assert!(new.non_finite().unwrap().is_empty());
}

#[test]
fn any_ridge_is_taken_and_makes_filters_smaller() {
    let old = old();
    let norm = |ridge: f64| {
        let five = Conv2d::new(4, 5).same().relu().named("new");
        let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
        let healing = Healing::least_squares().ridge(ridge);
        new.heal_with("new", &old, &images(2, 16, 12), &healing)
            .unwrap();
        let weight = crate::parameter(&new, "new.weight").sqr().unwrap();
        weight.sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let norms = [0.0, 0.5, 1.0, 10.0].map(norm);
    assert!(norms.is_sorted_by(|a, b| a > b), "{norms:?}");
}

/// A network for images of any size.
fn open(conv: Conv2d) -> Model {
    let graph = Graph::new("g", Shape::any_size(3)).unwrap();
    let graph = graph
        .attach(vec![conv.named("a"), Conv2d::new(2, 1).named("behind")])
        .unwrap()
        .with_preprocessing(Preprocessing::new());
    let options = BuildOptions::new().dtype(DType::F64);
    graph.build_with(&Device::Cpu, &options).unwrap()
}

#[test]
fn a_stride_at_an_open_size_is_not_composed() {
    let old = open(Conv2d::new(4, 3).stride(2).same());
    let padded = Conv2d::new(4, 3).stride(2).padding(1).named("new");
    let mut new = old.edit(|graph| graph.replace("a", padded)).unwrap();
    let images = images(2, 16, 16);
    let error = new.heal_with("new", &old, &images, &Healing::compose());
    let error = error.unwrap_err();
    assert!(error.to_string().contains("set it with input"), "{error}");
    let sized = |model: &Model| model.edit(|graph| graph.input((3, 16, 16))).unwrap();
    let (old, mut new) = (sized(&old), sized(&new));
    let error = new.heal_with("new", &old, &images, &Healing::compose());
    let Err(Error::Healing(HealingError::NotComposable { reason, .. })) = error else {
        panic!("{error:?}");
    };
    assert!(reason.contains("filters don't hold it"), "{reason}");
}

#[test]
fn another_size_is_told_where_images_alone_tell_it() {
    let old = open(Conv2d::new(4, 3).same());
    let smaller = Conv2d::new(4, 3).named("new");
    let mut new = old.edit(|graph| graph.replace("a", smaller)).unwrap();
    let error = new.heal("new", &old, &images(1, 16, 12)).unwrap_err();
    let Error::Healing(HealingError::Shapes {
        expected, actual, ..
    }) = error
    else {
        panic!("{error}");
    };
    let shapes = (Shape::map(4, 12, 16), Shape::map(4, 10, 14));
    assert_eq!((expected, actual), shapes);
}

#[test]
fn images_that_a_filter_would_learn_by_heart_are_too_few() {
    let old = old();
    let five = Conv2d::new(4, 5).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
    // 76 unknowns, 144 positions an image.
    let closed = Healing::least_squares();
    let one = images(1, 16, 12);
    let error = new.heal_with("new", &old, &one, &closed).unwrap_err();
    let Error::Healing(HealingError::NotFittable { reason, .. }) = error else {
        panic!("{error}");
    };
    assert!(reason.starts_with("the images have 144 positions for the 76 unknowns"));
    let ridge = closed.clone().ridge(1e-2);
    new.heal_with("new", &old, &one, &ridge).unwrap();
    let report = new.heal_with("new", &old, &images(2, 16, 12), &closed);
    assert_eq!(report.unwrap().held_out, None);
    let best = Healing::auto().steps(3, 3).measured_on(images(1, 20, 20));
    let report = new.heal_with("new", &old, &one, &best).unwrap();
    assert_eq!(report.method, HealingMethod::Distill);
    assert_eq!(report.held_out, Some(1));
    assert!(report.to_string().contains("measured on 1 other image"));
}

#[test]
fn what_was_not_distilled_is_of_least_squares() {
    let old = old();
    let five = Conv2d::new(4, 5).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
    let report = new.heal_with(
        "new",
        &old,
        &images(2, 16, 12),
        &Healing::distill().steps(0, 0),
    );
    assert_eq!(report.unwrap().method, HealingMethod::LeastSquares);
}

/// An image gives 12x12 positions, however small it was.
#[test]
fn enlarged_pixels_tell_no_more_than_those_there_were() {
    let old = old();
    let five = Conv2d::new(4, 5).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
    let small = images(10, 4, 3);
    let error = new.heal_with("new", &old, &small, &Healing::least_squares());
    let Err(Error::Healing(HealingError::NotFittable { reason, .. })) = error else {
        panic!("{error:?}");
    };
    assert!(
        reason.starts_with("the images have 120 positions for the 76"),
        "{reason}"
    );
}

#[test]
fn a_report_says_if_healing_was_none() {
    let old = old();
    let five = Conv2d::new(4, 5).same().relu().named("new");
    let mut new = old.edit(|graph| graph.replace("a"..="b", five)).unwrap();
    let images = images(2, 16, 12);
    let closed = Healing::least_squares();
    let report = new.heal_with("new", &old, &images, &closed).unwrap();
    assert!(!report.to_string().contains("worse"), "{report}");
    let report = new.heal_with("new", &old, &images, &Healing::compose());
    let report = report.unwrap();
    assert!(report.to_string().contains("worse than before"), "{report}");
}

/// 3,145,729 unknowns: their equations would take 158 TB.
#[test]
fn equations_that_memory_has_no_room_for_are_refused() {
    let wide = || Conv2d::new(1, 1024).kernel_init(Init::Constant(0.0));
    let old = chain((1024, 1024), Head::new().conv2d("a", wide()));
    let new = wide().named("new");
    let mut new = old.edit(|graph| graph.replace("a", new)).unwrap();
    let healing = Healing::least_squares().ridge(1e-2);
    let error = new.heal_with("new", &old, &images(1, 16, 16), &healing);
    let Err(Error::Healing(HealingError::NotFittable { reason, .. })) = error else {
        panic!("{error:?}");
    };
    assert!(
        reason.contains("3145729 unknowns do not fit into memory"),
        "{reason}"
    );
}
