//! Networks from files of Keras; see tests/fixtures/keras/make.py.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::layers::Activation;
use vgg_surgery::vgg::Top;
use vgg_surgery::{
    BatchNorm2d, Dense, Flatten, Head, Labels, Model, Preprocessing, Vgg11, Vgg11Bn, Vgg16,
    WeightSet,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/keras")
        .join(name)
}

/// The image of make.py.
fn image(height: usize, width: usize) -> Tensor {
    let value = |channel: usize, row: usize, column: usize| {
        ((channel * 31 + row * 7 + column * 13) % 17) as f32
    };
    let mut values = Vec::new();
    for channel in 0..3 {
        for row in 0..height {
            values.extend((0..width).map(|column| value(channel, row, column) / 8.0 - 1.0));
        }
    }
    Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu).unwrap()
}

fn golden(name: &str) -> Tensor {
    let tensors = candle_core::safetensors::load(fixture("golden.safetensors"), &Device::Cpu);
    tensors.unwrap()[name].clone()
}

fn assert_close(actual: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let difference = (actual - expected).unwrap().abs().unwrap();
    let difference = difference.flatten_all().unwrap().max(0).unwrap();
    let difference: f32 = difference.to_scalar().unwrap();
    assert!(difference < 1e-5, "{what} differs by {difference}");
}

fn vgg11(weights: impl Into<WeightSet>) -> Model {
    let options = Vgg11::options().widths(32).hidden(8).classes(5);
    let graph = options.top(Top::Keras).pretrained_from(weights).unwrap();
    graph.build(&Device::Cpu).unwrap()
}

#[test]
fn every_format_gives_the_outputs_of_keras() {
    let files = [
        "keras1.h5",
        "keras2.h5",
        "keras3.h5",
        "keras3.weights.h5",
        "keras3.keras",
    ];
    let layers = [
        "block1_conv1",
        "block3_pool",
        "block5_pool",
        "fc1",
        "predictions",
    ];
    for file in files {
        let model = vgg11(fixture(file));
        let taps = model.taps(layers, &image(224, 224)).unwrap();
        for (name, value) in taps.iter() {
            let value = match name {
                "block1_conv1" => value.narrow(2, 0, 16).unwrap().narrow(3, 0, 16).unwrap(),
                _ => value.clone(),
            };
            assert_close(&value, &golden(name), &format!("{file}: {name}"));
        }
        let report = model.graph().weights_report();
        assert_eq!(
            report.rows[0].tensor.as_deref(),
            Some("block1_conv1/kernel")
        );
        assert!(report.ignored().is_empty(), "{file}");
    }
}

#[test]
fn only_the_first_layers_are_read_from_a_whole_model() {
    let options = Vgg11::options().widths(32);
    let graph = options.pretrained_from(fixture("keras3.h5")).unwrap();
    let model = graph
        .truncate("block3_pool")
        .unwrap()
        .build(&Device::Cpu)
        .unwrap();
    let output = model.forward(&image(224, 224)).unwrap();
    assert_close(&output, &golden("block3_pool"), "block3_pool");
}

#[test]
fn a_network_in_a_network_and_layers_without_names_are_found() {
    let options = Vgg11Bn::options().widths(32);
    for (file, conv, prefix) in [
        ("small.keras", "trunk/block1_conv1/kernel", "trunk/"),
        ("small.h5", "trunk/block1_conv1/kernel", "trunk/"),
        (
            "small2.weights.h5",
            "functional/conv2d/kernel",
            "functional/",
        ),
    ] {
        let graph = options.pretrained_from(fixture(file)).unwrap();
        let graph = graph.truncate("block1_bn1").unwrap();
        let model = graph.build(&Device::Cpu).unwrap();
        let report = model.graph().weights_report();
        assert_eq!(report.rows[0].tensor.as_deref(), Some(conv), "{file}");
        assert_eq!(report.ignored(), [prefix]);
    }
    let tensors = candle_core::safetensors::load(fixture("small.golden.safetensors"), &Device::Cpu);
    let tensors = tensors.unwrap();
    let graph = options.pretrained_from(fixture("small.keras")).unwrap();
    let model = graph
        .truncate("block1_bn1")
        .unwrap()
        .build(&Device::Cpu)
        .unwrap();
    let names = ["conv", "conv_bias", "gamma", "beta", "mean", "variance"];
    for (parameter, name) in model.parameters().zip(names) {
        assert_close(parameter.tensor, &tensors[name], name);
    }
}

#[test]
fn the_head_of_a_keras_model_is_read_in_either_order_of_flattening() {
    for flatten in [Flatten::new(), Flatten::hwc()] {
        let head = Head::new()
            .layer("flat", flatten)
            .layer("relu", Activation::Relu)
            .dense("head", Dense::new(3).activation(Activation::Tanh));
        let options = Vgg11::options().widths(32).without_top();
        let trunk = options.pretrained_from(fixture("head.keras")).unwrap();
        let trunk = trunk.truncate("block1_pool").unwrap();
        // Keras' convolution has no ReLU here; the one behind the flatten does
        // the same, since it is monotonic.
        let graph = trunk.input((3, 4, 6)).unwrap().attach(head).unwrap();
        let graph = graph.also_from(fixture("head.keras"), "head").unwrap();
        let model = graph.build(&Device::Cpu).unwrap();
        assert_close(
            &model.forward(&image(4, 6)).unwrap(),
            &golden("head"),
            "head",
        );
    }
}

#[test]
fn a_norm_of_flattened_values_in_another_order_is_not_read() {
    let graph = |flatten: Flatten| {
        let head = Head::new()
            .layer("flat", flatten)
            .layer("norm", BatchNorm2d::new());
        let trunk = Vgg11::options().widths(32).untrained(0).unwrap();
        let trunk = trunk
            .truncate("block1_pool")
            .unwrap()
            .input((3, 4, 6))
            .unwrap();
        trunk.attach(head).unwrap()
    };
    let tensors = ["gamma", "beta", "moving_mean", "moving_variance"].map(|name| {
        let values = Tensor::ones(12, DType::F32, &Device::Cpu).unwrap();
        (format!("norm/{name}"), values)
    });
    let set = || WeightSet::tensors(std::collections::HashMap::from(tensors.clone()));
    let build = |flatten| {
        graph(flatten)
            .also_from(set(), "norm")
            .unwrap()
            .build(&Device::Cpu)
    };
    assert!(build(Flatten::hwc()).is_ok());
    assert!(build(Flatten::new()).is_err());
}

/// The files of make_h5py.py have the published layouts without values.
#[test]
fn what_keras_publishes_brings_its_preprocessing_by_its_contents() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join("weights");
    for name in ["vgg16", "vgg16_notop", "vgg19", "vgg19_notop"] {
        let file = fixture(&format!("published_{name}.h5"));
        std::fs::copy(&file, &renamed).unwrap();
        let bytes = WeightSet::bytes(std::fs::read(&file).unwrap());
        for weights in [WeightSet::file(&file), WeightSet::file(&renamed), bytes] {
            let graph = Vgg16::pretrained_from(weights);
            assert_eq!(graph.preprocessing(), Some(&Preprocessing::caffe()));
            assert_eq!(graph.labels(), Some(&Labels::imagenet()), "{name}");
        }
        let other = WeightSet::file(&file).preprocessing(Preprocessing::torchvision());
        let graph = Vgg16::pretrained_from(other);
        assert_eq!(graph.preprocessing(), Some(&Preprocessing::torchvision()));
    }
}

#[test]
fn a_published_name_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder
        .path()
        .join("vgg16_weights_tf_dim_ordering_tf_kernels.h5");
    assert_eq!(Vgg16::pretrained_from(&named).preprocessing(), None);
    for file in [
        "published_ten_classes.h5",
        "published_whole_model.h5",
        "published_keras2.h5",
        "keras1.h5",
        "missing.h5",
        "cyclic.h5",
        "golden.safetensors",
    ] {
        std::fs::copy(fixture(file), &named).unwrap();
        let graph = Vgg16::pretrained_from(&named);
        assert_eq!((graph.preprocessing(), graph.labels()), (None, None));
    }
}
