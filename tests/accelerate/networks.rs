use candle_core::Device;
use vgg_surgery::accelerate::Acceleration;
use vgg_surgery::layers::Activation;
use vgg_surgery::{Conv2d, Dense, Head, Preprocessing, Vgg16, Vgg16Bn};

use crate::{nano, quick, r2, textures, values};

#[test]
fn layers_that_several_convolutions_read_lose_channels() {
    let model = nano();
    let side = |name: &str| Head::new().conv2d(name.to_string(), Conv2d::new(1, 1));
    let model = model
        .edit(|graph| {
            graph
                .attach_to("block2_conv2", side("side2"))?
                .attach_to("block3_conv3", side("side3"))
        })
        .unwrap();
    let both = Acceleration::channels([("block2_conv2", 14), ("block3_conv3", 24)]);
    let (faster, report) = model.accelerate(&quick(both), &textures(6, 1)).unwrap();
    let left = |layer: &str| {
        let row = report.layers.iter().find(|row| row.layer == layer);
        row.unwrap().channels
    };
    assert_eq!((left("block2_conv2"), left("block3_conv3")), (14, 24));
    assert_eq!(
        faster.graph().output_shapes(),
        model.graph().output_shapes()
    );
    let side = report
        .blocks
        .iter()
        .find(|row| row.layer == "side3")
        .unwrap();
    assert!(side.r2 > 0.8, "{report}");
}

/// The values that a layer of a branch takes do not follow from what the layer
/// before it in the graph's order takes.
#[test]
fn branches_that_are_added_last_are_fitted_too() {
    let graph = Vgg16::nano().truncate("block3_pool").unwrap();
    let mut graph = graph.freeze_all();
    let mut outputs = graph.outputs().to_vec();
    for layer in ["block1_conv2", "block2_conv2", "block3_conv3"] {
        let from = graph.node_id(layer).unwrap();
        let side = graph.add(format!("{layer}_side"), Conv2d::new(2, 1), [from]);
        outputs.push(side.unwrap());
    }
    let graph = graph.with_outputs(outputs).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let images = textures(6, 1);
    let (_, report) = model
        .accelerate(&quick(Acceleration::macs(1.5)), &images)
        .unwrap();
    let sides = report
        .blocks
        .iter()
        .filter(|row| row.layer.ends_with("_side"));
    assert!(sides.clone().all(|row| row.r2 > 0.8), "{report}");
    assert_eq!(sides.count(), 3);
}

#[test]
fn batch_norms_are_folded() {
    let graph = Vgg16Bn::options()
        .widths(16)
        .without_top()
        .untrained(3)
        .unwrap();
    let graph = graph.truncate("block3_pool").unwrap();
    let model = graph
        .with_preprocessing(Preprocessing::torchvision().with_size(64, 64))
        .build(&Device::Cpu)
        .unwrap();
    let images = textures(6, 1);
    let (faster, _) = model
        .accelerate(&quick(Acceleration::macs(1.3)), &images)
        .unwrap();
    assert!(
        faster
            .graph()
            .nodes()
            .all(|node| node.layer().kind() != "BatchNorm2d")
    );
    let found = r2(&values(&faster, &images[0]), &values(&model, &images[0]));
    assert!(found > 0.9, "{found}");
}

#[test]
fn a_classifier_stays() {
    let model = nano();
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(5).activation(Activation::Softmax));
    let model = model.edit(|graph| graph.attach(head)).unwrap();
    let images = textures(6, 1);
    let (faster, report) = model
        .accelerate(&quick(Acceleration::macs(2.0)), &images)
        .unwrap();
    assert_eq!(values(&faster, &images[0]).len(), 5);
    assert_eq!(report.blocks.last().unwrap().layer, "out");
}
