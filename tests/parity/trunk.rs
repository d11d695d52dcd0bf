use std::time::Instant;

use candle_core::{Device, Tensor};
use vgg_surgery::{Model, Preprocessing, Vgg16, WeightSet};

use crate::{Tensors, assert_close, assert_stats, read, shared, stats};

const PICTURES: [&str; 4] = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"];

/// The trained trunk without a classifier, and Keras' values for it.
fn trunk() -> Option<(Model, Tensors)> {
    let golden = read(&shared("golden/trunk_keras.golden.safetensors")?);
    let weights = WeightSet::file(shared("weights/vgg16_trunk.safetensors")?)
        .preprocessing(Preprocessing::caffe());
    let graph = Vgg16::pretrained_from(weights).without_top().unwrap();
    Some((graph.build(&Device::Cpu).unwrap(), golden))
}

#[test]
fn every_layer_agrees_with_keras() {
    let Some((model, golden)) = trunk() else {
        return;
    };
    for picture in PICTURES {
        let x = &golden[&format!("{picture}.preprocessed")];
        let names: Vec<String> = model
            .graph()
            .nodes()
            .skip(1)
            .map(|node| node.name().to_string())
            .collect();
        assert_eq!(names.len(), 18);
        let taps = model.taps(&names, x).unwrap();
        for (name, value) in taps.iter() {
            let what = format!("{picture}.{name}");
            assert_stats(stats(value, 0), &golden[&format!("{what}.stats")], &what);
            if let Some(expected) = golden.get(&what) {
                assert_close(value, expected, &what);
            }
        }
    }
}

#[test]
fn a_cut_network_gives_what_the_whole_one_gave() {
    let Some((whole, golden)) = trunk() else {
        return;
    };
    let weights = shared("weights/vgg16_trunk.safetensors").unwrap();
    let graph = Vgg16::pretrained_from(weights.as_path())
        .truncate("block2_pool")
        .unwrap();
    let started = Instant::now();
    let cut = graph.build(&Device::Cpu).unwrap();
    eprintln!("building block2_pool took {:?}", started.elapsed());
    let x: &Tensor = &golden["chelsea.png.preprocessed"];
    let expected = whole.forward_to("block2_pool", x).unwrap();
    let actual = cut.forward(x).unwrap();
    let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(bits(&actual), bits(&expected));
}
