//! A whole network made faster.

mod budgets;
mod errors;
mod networks;

use candle_core::{Device, Tensor};
use vgg_surgery::accelerate::Acceleration;
use vgg_surgery::data::{Motif, ProceduralDataset, SampleInput};
use vgg_surgery::{Dataset, Image, Model, Vgg16};

/// Images of computed textures: a seed gives others of the same kind.
fn textures(count: usize, seed: u64) -> Vec<Image> {
    let motifs = Motif::trained_on();
    let data = ProceduralDataset::new(motifs, 1)
        .unwrap()
        .size(64)
        .seed(seed);
    (0..count)
        .map(|index| match data.sample(index).unwrap().input {
            SampleInput::Image(image) => image,
            other => panic!("{other:?} is no image"),
        })
        .collect()
}

/// With few crops.
fn quick(acceleration: Acceleration) -> Acceleration {
    acceleration.seconds(10.0)
}

fn nano() -> Model {
    let graph = Vgg16::nano().truncate("block4_pool").unwrap();
    graph.build(&Device::Cpu).unwrap()
}

fn values(model: &Model, image: &Image) -> Vec<f32> {
    let x = model
        .graph()
        .input_preprocessing()
        .unwrap()
        .apply(image)
        .unwrap();
    let value: Tensor = model.forward(&x).unwrap();
    value.flatten_all().unwrap().to_vec1().unwrap()
}

/// One minus the squared error over the squared deviation.
fn r2(own: &[f32], wanted: &[f32]) -> f64 {
    let mean = wanted.iter().map(|&w| f64::from(w)).sum::<f64>() / wanted.len() as f64;
    let pairs = own.iter().zip(wanted);
    let error: f64 = pairs.map(|(o, w)| f64::from(o - w).powi(2)).sum();
    let deviation: f64 = wanted.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum();
    1.0 - error / deviation
}
