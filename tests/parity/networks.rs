use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use vgg_surgery::graph::Node;
use vgg_surgery::layers::Layer;
use vgg_surgery::{
    Activation, Model, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn, VggOptions,
};

use crate::devices::devices;
use crate::{Tensors, assert_close, assert_stats, fixture, read, stats, values};

/// The weights and the golden values of a network.
fn files(name: &str) -> (PathBuf, Tensors) {
    let weights = fixture(&format!("golden/{name}_w16.safetensors"));
    let mut golden = read(&fixture(&format!("golden/{name}_w16.golden.safetensors")));
    golden.extend(read(&fixture("golden/input.safetensors")));
    (weights, golden)
}

fn build(options: &VggOptions, weights: &Path, device: &Device) -> Model {
    let options = options.clone().widths(16).hidden(32).classes(10);
    let options = options.classifier_activation(Activation::Linear);
    let graph = options.pretrained_from(weights).unwrap();
    graph.build(device).unwrap()
}

fn input(model: &Model, golden: &Tensors) -> Tensor {
    golden["input"].to_device(model.device()).unwrap()
}

/// Every module's output under torchvision's own names, which mean the values
/// before the ReLU where they name a convolution.
fn assert_every_module(model: &Model, golden: &Tensors) {
    let modules: Vec<&str> = golden
        .keys()
        .filter_map(|key| key.strip_suffix(".stats"))
        .collect();
    assert!(modules.len() > 20);
    let taps = model.taps(&modules, &input(model, golden)).unwrap();
    for (module, value) in taps.iter() {
        assert_stats(stats(value, 1), &golden[&format!("{module}.stats")], module);
    }
    let last = modules
        .iter()
        .max_by_key(|module| module["features.".len()..].parse::<usize>().unwrap())
        .unwrap();
    assert_close(taps.get(last).unwrap(), &golden["features"], last);
}

fn assert_logits(model: &Model, golden: &Tensors) {
    let nearest = |side: u32| -> Tensor {
        let indices: Vec<u32> = (0..224).map(|index| index * side / 224).collect();
        Tensor::new(indices, model.device()).unwrap()
    };
    let input = input(model, golden)
        .index_select(&nearest(96), 2)
        .and_then(|rows| rows.index_select(&nearest(80), 3))
        .unwrap();
    let logits = model.forward(&input).unwrap();
    assert_close(&logits, &golden["logits224"], "logits");
}

fn assert_gradients(model: &Model, golden: &Tensors) {
    // Frozen batch norms use their running statistics, as PyTorch's do in
    // evaluation mode.
    let features = model
        .edit(|graph| {
            let graph = graph.without_top()?;
            let norms = |node: &Node| matches!(node.layer(), Layer::BatchNorm2d(_));
            if graph.nodes().any(norms) {
                return graph.freeze(norms);
            }
            Ok(graph)
        })
        .unwrap();
    let x = Var::from_tensor(&input(model, golden)).unwrap();
    let loss = features
        .forward_training(&x)
        .unwrap()
        .sqr()
        .unwrap()
        .mean_all();
    let gradients = loss.unwrap().backward().unwrap();
    let gradient = gradients.get(&x).unwrap();
    assert_close(gradient, &golden["grad.input"], "input gradient");
    let first = &features.trainable_variables()[0];
    let gradient = gradients.get(first).unwrap();
    assert_close(
        gradient,
        &golden["grad.features.0.weight"],
        "weight gradient",
    );
}

macro_rules! networks {
    ($($test:ident: $network:ident;)*) => {$(
        #[test]
        fn $test() {
            let (weights, golden) = files(stringify!($test));
            for device in devices() {
                let model = build(&$network::options(), &weights, &device);
                assert_every_module(&model, &golden);
                assert_logits(&model, &golden);
                assert_gradients(&model, &golden);
            }
        }
    )*};
}

networks! {
    vgg11: Vgg11;
    vgg11_bn: Vgg11Bn;
    vgg13: Vgg13;
    vgg13_bn: Vgg13Bn;
    vgg16: Vgg16;
    vgg16_bn: Vgg16Bn;
    vgg19: Vgg19;
    vgg19_bn: Vgg19Bn;
}

#[test]
fn a_cut_network_gives_what_the_whole_one_gave() {
    let (weights, golden) = files("vgg16");
    let whole = build(&Vgg16::options(), &weights, &Device::Cpu);
    let options = Vgg16::options().widths(16).without_top();
    let graph = options.pretrained_from(weights.as_path()).unwrap();
    let graph = graph.truncate("block2_pool").unwrap();
    let cut = graph.build(&Device::Cpu).unwrap();
    let x = &golden["input"];
    let expected = whole.forward_to("block2_pool", x).unwrap();
    assert_eq!(values(&cut.forward(x).unwrap()), values(&expected));
}
