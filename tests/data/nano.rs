use candle_core::{DType, Device, Tensor};
use vgg_surgery::data::{Loader, Motif, ProceduralDataset};
use vgg_surgery::graph::Shape;
use vgg_surgery::{Dataset, Graph, Model, Preprocessing, Vgg16};

use crate::{classes, values};

#[test]
fn nano_is_vgg16_at_an_eighth_of_its_widths() {
    let graph = Vgg16::nano();
    assert!(graph.summary().to_string().contains("bundled weights"));
    let same = Vgg16::options()
        .widths(8)
        .without_top()
        .untrained(0)
        .unwrap();
    let described = |graph: &Graph| -> Vec<(String, Shape, u64)> {
        let nodes = graph.nodes();
        let described = nodes.map(|n| (n.name().to_string(), n.shape(), n.parameter_count()));
        described.collect()
    };
    assert_eq!(described(&graph), described(&same));
    assert_eq!(graph.parameter_count(), 230_568);
    assert_eq!(graph.license(), Some("MIT"));
    let expected = Preprocessing::new().with_size(64, 64);
    let expected = expected.with_mean([0.5; 3]).with_std([0.25; 3]);
    assert_eq!(graph.preprocessing(), Some(&expected));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vgg/nano.safetensors");
    assert!(std::fs::metadata(file).unwrap().len() < 600_000);
}

#[test]
fn nano_runs_at_any_size() {
    let model = Vgg16::nano().build(&Device::Cpu).unwrap();
    assert!(model.non_finite().unwrap().is_empty());
    for size in [32, 64, 97] {
        let x = Tensor::ones((1, 3, size, size), DType::F32, &Device::Cpu).unwrap();
        let y = model.forward(&x).unwrap();
        assert_eq!(y.dims(), [1, 64, size / 32, size / 32]);
        assert!(values(&y).iter().all(|value| value.is_finite()));
    }
}

/// The channel means of each image, and its class.
fn features(model: &Model, data: &dyn Dataset) -> Vec<(Vec<f32>, usize)> {
    let mut features = Vec::new();
    for batch in Loader::for_model(data, model).epoch(0) {
        let batch = batch.unwrap();
        let y = model.forward(&batch.inputs).unwrap();
        let means = y.mean((2, 3)).unwrap().to_vec2::<f32>().unwrap();
        features.extend(means.into_iter().zip(classes(&batch).iter().copied()));
    }
    features
}

/// The number of test images whose nearest training image, by the cosine, has the
/// same class.
fn nearest_is_right(graph: Graph) -> usize {
    let graph = graph.input((3, 64, 64)).unwrap();
    let model = graph
        .truncate("block4_pool")
        .unwrap()
        .build(&Device::Cpu)
        .unwrap();
    let data = |seed| {
        ProceduralDataset::new(Motif::HELD_OUT, 10)
            .unwrap()
            .seed(seed)
    };
    let known = features(&model, &data(1));
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let tested = features(&model, &data(2)).into_iter();
    let right = tested.filter(|(feature, class)| {
        let nearest = known
            .iter()
            .max_by(|(a, _), (b, _)| cosine(feature, a).total_cmp(&cosine(feature, b)));
        nearest.unwrap().1 == *class
    });
    right.count()
}

/// The features also separate classes that the network was not trained on.
#[test]
fn nano_tells_new_classes_apart_better_than_untrained_layers() {
    let untrained = Vgg16::options()
        .widths(8)
        .without_top()
        .untrained(3)
        .unwrap();
    let preprocessing = Vgg16::nano().preprocessing().unwrap().clone();
    let untrained = nearest_is_right(untrained.with_preprocessing(preprocessing));
    let trained = nearest_is_right(Vgg16::nano());
    assert!(trained > untrained + 12, "{trained} and {untrained} of 120");
}
