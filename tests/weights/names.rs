use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::export::WeightNaming;
use vgg_surgery::{Error, Graph, Model, Result, Vgg16, VggOptions, WeightSet};

type Tensors = HashMap<String, Tensor>;

fn options() -> VggOptions {
    Vgg16::options().widths(16).hidden(8).classes(5)
}

/// The whole network, and its tensors under torchvision's names.
fn network() -> (Model, Tensors) {
    let model = options()
        .untrained(3)
        .and_then(|graph| graph.build(&Device::Cpu));
    let model = model.unwrap();
    let tensors = model.to_state_dict(WeightNaming::Torchvision).unwrap();
    (model, tensors)
}

fn renamed(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    let pairs = tensors.iter();
    pairs
        .map(|(key, tensor)| (name(key), tensor.clone()))
        .collect()
}

fn below(prefix: &str, tensors: &Tensors) -> Tensors {
    renamed(tensors, |key| format!("{prefix}{key}"))
}

fn whole(tensors: Tensors) -> Result<Model> {
    options()
        .pretrained_from(WeightSet::tensors(tensors))?
        .build(&Device::Cpu)
}

fn assert_same(model: &Model, expected: &Model) {
    for parameter in model.parameters() {
        let mut all = expected.parameters();
        let expected =
            all.find(|other| (other.layer, other.name) == (parameter.layer, parameter.name));
        let difference = (parameter.tensor - expected.unwrap().tensor).unwrap();
        let sum = difference.abs().unwrap().sum_all().unwrap();
        assert_eq!(sum.to_scalar::<f32>().unwrap(), 0.0, "{}", parameter.layer);
    }
}

#[test]
fn prefixes_and_wrappers_are_left_out_and_reported() {
    let (expected, tensors) = network();
    for prefix in [
        "module.",
        "_orig_mod.",
        "model.",
        "backbone.",
        "encoder.",
        "net.vgg.",
        "0.",
    ] {
        let model = whole(below(prefix, &tensors)).unwrap();
        assert_same(&model, &expected);
        assert_eq!(model.graph().weights_report().ignored(), [prefix]);
    }
    // PyTorch's ImageNet example wraps the features alone.
    let model = whole(renamed(&tensors, |key| {
        key.replace("features.", "features.module.")
    }));
    let model = model.unwrap();
    assert_same(&model, &expected);
    let report = model.graph().weights_report();
    assert_eq!(report.ignored(), ["module."]);
    assert_eq!(
        report.rows[0].tensor.as_deref(),
        Some("features.module.0.weight")
    );
    assert!(
        report
            .to_string()
            .ends_with("names were read without \"module.\"\n")
    );
}

/// `features.0` is `conv1_1`; `classifier.0` is `fc6`.
fn caffe_name(key: &str) -> String {
    let indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let names = "1_1 1_2 2_1 2_2 3_1 3_2 3_3 4_1 4_2 4_3 5_1 5_2 5_3".split(' ');
    let (layer, parameter) = key.rsplit_once('.').unwrap();
    let layer = match layer.split_once('.').unwrap() {
        ("features", index) => {
            let index: usize = index.parse().unwrap();
            let (_, name) = indices
                .iter()
                .zip(names)
                .find(|(other, _)| **other == index)
                .unwrap();
            format!("conv{name}")
        }
        (_, index) => format!("fc{}", 6 + index.parse::<usize>().unwrap() / 3),
    };
    format!("{layer}.{parameter}")
}

#[test]
fn names_of_caffe_and_of_a_part_are_understood() {
    let (expected, tensors) = network();
    let caffe = renamed(&tensors, caffe_name);
    assert!(caffe.contains_key("conv5_3.weight") && caffe.contains_key("fc8.bias"));
    assert_same(&whole(caffe.clone()).unwrap(), &expected);
    assert_same(&whole(below("module.", &caffe)).unwrap(), &expected);

    // What vgg.features.state_dict() saves, alone and below a name.
    let mut features = tensors;
    features.retain(|key, _| key.starts_with("features."));
    let bare = renamed(&features, |key| key.replace("features.", ""));
    for prefix in ["", "encoder.", "0.0."] {
        let set = WeightSet::tensors(below(prefix, &bare));
        let graph = options().pretrained_from(set).and_then(Graph::without_top);
        let model = graph.unwrap().build(&Device::Cpu).unwrap();
        assert_same(&model, &expected);
        let ignored = model.graph().weights_report().ignored().concat();
        assert_eq!(ignored, prefix);
    }
}

#[test]
fn two_prefixes_are_ambiguous_until_one_is_chosen() {
    let (expected, tensors) = network();
    let zeros = tensors
        .iter()
        .map(|(key, tensor)| (key.clone(), tensor.zeros_like().unwrap()));
    let mut both = below("average.", &zeros.collect());
    both.extend(below("model.", &tensors));
    match whole(both.clone()).unwrap_err() {
        Error::AmbiguousTensor {
            key, candidates, ..
        } => {
            assert_eq!(key, "features.0.weight");
            assert_eq!(
                candidates,
                ["average.features.0.weight", "model.features.0.weight"]
            );
        }
        other => panic!("{other}"),
    }
    let set = WeightSet::tensors(both.clone()).strip_prefix("model.");
    let model = options().pretrained_from(set).unwrap().build(&Device::Cpu);
    assert_same(&model.unwrap(), &expected);
    // A name that is there as it is wanted goes before all prefixes.
    both.extend(tensors);
    assert_same(&whole(both).unwrap(), &expected);
}

#[test]
fn names_that_differ_by_wrappers_alone_are_ambiguous() {
    let (_, tensors) = network();
    let mut both = below("module.", &tensors);
    both.extend(below("_orig_mod.", &tensors));
    let error = whole(both).unwrap_err();
    assert!(matches!(error, Error::AmbiguousTensor { .. }), "{error}");
}

#[test]
fn a_tensor_of_another_shape_is_no_candidate() {
    let (expected, tensors) = network();
    let other = Vgg16::options()
        .widths(32)
        .hidden(8)
        .classes(5)
        .untrained(0);
    let other = other.unwrap().build(&Device::Cpu).unwrap();
    let mut both = below(
        "small.",
        &other.to_state_dict(WeightNaming::Torchvision).unwrap(),
    );
    both.extend(below("large.", &tensors));
    assert_same(&whole(both).unwrap(), &expected);
}

#[test]
fn one_misfit_below_a_prefix_is_named_as_the_file_names_it() {
    let (_, tensors) = network();
    let mut tensors = below("module.", &tensors);
    let classes = Tensor::zeros((7, 8), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("module.classifier.6.weight".to_string(), classes);
    match whole(tensors.clone()).unwrap_err() {
        Error::TensorShape {
            key,
            expected,
            actual,
            ..
        } => {
            assert_eq!(key, "module.classifier.6.weight");
            assert_eq!((expected, actual), (vec![5, 8], vec![7, 8]));
        }
        other => panic!("{other}"),
    }
    tensors.remove("module.features.7.bias");
    let error = whole(tensors).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { key, .. } if key == "features.7.bias"));
}

#[test]
fn tensors_can_be_renamed_by_hand() {
    let (expected, tensors) = network();
    let odd = renamed(&tensors, |key| {
        key.replace("features.", "enc.c")
            .replace("classifier.6", "last")
    });
    let set = WeightSet::tensors(odd)
        .rename(|key| key.replace("enc.c", "features."))
        .key_map([
            ("last.weight", "predictions.weight"),
            ("last.bias", "fc8.bias"),
        ]);
    let model = options()
        .pretrained_from(set)
        .unwrap()
        .build(&Device::Cpu)
        .unwrap();
    assert_same(&model, &expected);
    let report = model.graph().weights_report();
    assert_eq!(
        report.rows[0].tensor.as_deref(),
        Some("enc.c0.weight"),
        "the file's own name"
    );

    let set = WeightSet::tensors(tensors).rename(|_| "same".to_string());
    let error = options()
        .pretrained_from(set)
        .unwrap()
        .build(&Device::Cpu)
        .unwrap_err();
    match error {
        Error::InvalidWeights { reason, .. } => assert!(reason.contains("both be named \"same\"")),
        other => panic!("{other}"),
    }
}

#[test]
fn a_delta_names_the_tensors_of_a_renamed_base() {
    let (_, tensors) = network();
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.safetensors");
    let odd = renamed(&tensors, |key| key.replace("features.", "enc.c"));
    candle_core::safetensors::save(&odd, &base).unwrap();
    let set = WeightSet::file(&base).rename(|key| key.replace("enc.c", "features."));
    let graph = options().pretrained_from(set).and_then(Graph::without_top);
    let model = graph.unwrap().build(&Device::Cpu).unwrap();
    let delta = folder.path().join("delta.safetensors");
    model.save_delta(&delta).unwrap();
    let again = Model::load(&delta, &Device::Cpu).unwrap();
    assert_same(&again, &model);
}

/// The tensors under Keras' names for layers without a name: `conv2d_1/kernel`.
fn numbered_by_class(model: &Model) -> Tensors {
    let tensors = model.to_state_dict(WeightNaming::Keras).unwrap();
    let layers: Vec<&str> = model.graph().nodes().map(|node| node.name()).collect();
    let of_class = |is_dense: bool| {
        let layers = layers.iter();
        let layers = layers.filter(move |layer| match is_dense {
            true => layer.starts_with("fc") || **layer == "predictions",
            false => layer.contains("conv"),
        });
        layers.enumerate()
    };
    let named = |class: &str, number: usize| match number {
        0 => class.to_string(),
        number => format!("{class}_{number}"),
    };
    let names = of_class(false).map(|(number, layer)| (*layer, named("conv2d", number)));
    let dense = of_class(true).map(|(number, layer)| (*layer, named("dense", number)));
    let names: HashMap<&str, String> = names.chain(dense).collect();
    renamed(&tensors, |key| {
        let (layer, name) = key.split_once('/').unwrap();
        format!("functional/{}/{name}", names[layer])
    })
}

#[test]
fn layers_that_keras_numbered_by_class_are_found() {
    let (expected, _) = network();
    let model = whole(numbered_by_class(&expected)).unwrap();
    assert_same(&model, &expected);
    assert_eq!(model.graph().weights_report().ignored(), ["functional/"]);
}

#[test]
fn a_numbered_layer_of_another_shape_is_another_layer() {
    let (expected, _) = network();
    let mut tensors = numbered_by_class(&expected);
    tensors.retain(|key, _| key.contains("conv2d"));
    let head = Tensor::zeros((7, 2), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("functional/dense/kernel".to_string(), head);
    let error = whole(tensors).unwrap_err();
    assert!(
        matches!(&error, Error::MissingTensor { hint: Some(_), .. }),
        "{error}"
    );
}
