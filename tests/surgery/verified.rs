use candle_core::{Device, Tensor};
use vgg_surgery::{Activation, Conv2d, Dense, Graph, Head, Model, Prune, Vgg16};

use crate::noise;

fn linear(weight: [[f32; 2]; 2]) -> Model {
    let head = Head::new().dense("out", Dense::new(2).without_bias());
    let graph = Graph::new("g", 2).unwrap().attach(head).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let weight = Tensor::new(&weight, &Device::Cpu).unwrap();
    model.trainable_variables()[0].set(&weight).unwrap();
    model
}

#[test]
fn figures_are_those_worked_out_by_hand() {
    // Outputs (1, 0), (0, 2) against (1, 0), (0, 1), of mean 1/2.
    let (parent, model) = (linear([[1., 0.], [0., 1.]]), linear([[1., 0.], [0., 2.]]));
    let x = Tensor::new(&[[1f32, 0.], [0., 1.]], &Device::Cpu).unwrap();
    let found = model.verify(&parent, &x).unwrap();
    let out = found.layer("out").unwrap();
    assert_eq!(out.max_error, 1.0);
    assert!((out.r2 - 0.0).abs() < 1e-12, "{}", out.r2);
    assert!(
        (out.cosine - 3.0 / 10f64.sqrt()).abs() < 1e-12,
        "{}",
        out.cosine
    );
    assert_eq!(found.top1, Some(1.0));
    let turned = linear([[1., 2.], [0., 1.]]);
    let found = turned.verify(&parent, &x).unwrap();
    assert_eq!(found.top1, Some(0.5));
}

#[test]
fn a_model_agrees_with_itself_and_only_what_follows_an_edit_differs() {
    let graph = Vgg16::options()
        .widths(16)
        .hidden(8)
        .classes(3)
        .untrained(1)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let x = noise((3, 3, 32, 32), 1);
    let same = model.verify(&model, &x).unwrap();
    assert_eq!(same.layers.len(), model.graph().len() - 1);
    assert!(
        same.layers
            .iter()
            .all(|check| (check.max_error, check.r2) == (0.0, 1.0))
    );
    let pruned = model
        .prune_filters("block4_conv1", Prune::count(5))
        .unwrap();
    let found = pruned.verify(&model, &x).unwrap();
    assert!(found.layer("block4_conv1").is_none(), "its shape differs");
    assert_eq!(found.layer("block3_pool").unwrap().r2, 1.0);
    let after = found.layer("block4_conv2").unwrap();
    assert!(after.r2 < 1.0 && after.max_error > 0.0);
    let table = found.to_string();
    assert!(table.starts_with("Layer"), "{table}");
    assert_eq!(table.lines().count(), 2 + found.layers.len() + 1);
}

#[test]
fn outputs_of_other_shapes_have_no_classes_in_common() {
    let graph = Graph::new("g", (3, 4, 4))
        .unwrap()
        .attach(Conv2d::new(2, 1).named("a"))
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let longer = model
        .edit(|graph| graph.attach(Conv2d::new(3, 1).named("b")))
        .unwrap();
    let x = noise((1, 3, 4, 4), 1);
    assert_eq!(longer.verify(&model, &x).unwrap().top1, None);
    let activated = model
        .edit(|graph| graph.attach(Activation::Softmax.named("s")))
        .unwrap();
    assert!(activated.verify(&model, &x).unwrap().top1.is_some());
    assert!(model.verify(&model, &noise((1, 2, 4, 4), 1)).is_err());
}
