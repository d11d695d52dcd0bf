use std::path::PathBuf;

use candle_core::{Device, Tensor};
use vgg_surgery::{Image, Model, Preprocessing, Vgg16, WeightSet};

use crate::{ROOT, Tensors, assert_close, assert_stats, fixture, read, stats};

const IMAGES: [&str; 4] = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"];

/// Every node's statistics, and its values where Keras' are known.
fn assert_every_layer(model: &Model, golden: &Tensors, image: &str, x: &Tensor) {
    let nodes = model.graph().nodes().skip(1);
    let names: Vec<String> = nodes.map(|node| node.name().to_string()).collect();
    let taps = model.taps(&names, x).unwrap();
    for (name, value) in taps.iter() {
        let what = format!("{image}.{name}");
        assert_stats(stats(value, 0), &golden[&format!("{what}.stats")], &what);
        if let Some(expected) = golden.get(&what) {
            assert_close(value, expected, &what);
        }
    }
}

#[test]
fn two_blocks_agree_with_keras() {
    let golden = read(&fixture("golden/trunk_block2_keras.golden.safetensors"));
    let weights = WeightSet::file(fixture("tutorial/trunk_block2.safetensors"))
        .preprocessing(Preprocessing::caffe());
    let graph = Vgg16::pretrained_from(weights).truncate("block2_pool");
    let model = graph.unwrap().build(&Device::Cpu).unwrap();
    assert_eq!(model.graph().len(), 7);
    for image in IMAGES {
        let crop = &golden[&format!("{image}.crop.u8")];
        let (height, width, _) = crop.dims3().unwrap();
        let pixels: Vec<u8> = crop.flatten_all().unwrap().to_vec1().unwrap();
        let crop = Image::from_rgb8(width, height, pixels).unwrap();
        let preprocessing = Preprocessing::caffe().without_resize();
        let x = preprocessing.apply(&crop).unwrap();
        assert_every_layer(&model, &golden, image, &x);
    }
}

/// A file of the folder beside the repository.
fn shared(file: &str) -> PathBuf {
    let path = PathBuf::from(ROOT).join("../shared").join(file);
    assert!(path.exists(), "{} is not there", path.display());
    path
}

#[test]
#[ignore = "needs ../shared: the trained trunk has 58.9 MB"]
fn the_whole_trunk_agrees_with_keras() {
    let golden = read(&shared("golden/trunk_keras.golden.safetensors"));
    let weights = WeightSet::file(shared("weights/vgg16_trunk.safetensors"))
        .preprocessing(Preprocessing::caffe());
    let graph = Vgg16::pretrained_from(weights).without_top().unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    assert_eq!(model.graph().len(), 19);
    for image in IMAGES {
        let x = &golden[&format!("{image}.preprocessed")];
        assert_every_layer(&model, &golden, image, x);
    }
}
