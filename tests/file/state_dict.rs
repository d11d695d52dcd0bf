use candle_core::{Device, Tensor};
use vgg_surgery::error::FileError;
use vgg_surgery::export::WeightNaming;
use vgg_surgery::graph::LayerCall;
use vgg_surgery::layers::{Add, Concat, Rescale};
use vgg_surgery::vgg::Top;
use vgg_surgery::{
    BatchNorm2d, Conv2d, Dense, Error, Flatten, Graph, Head, Model, Vgg11Bn, Vgg16, VggOptions,
    WeightSet,
};

use crate::{assert_same_parameters, bits, built};

const LIBRARIES: [WeightNaming; 3] = [
    WeightNaming::Torchvision,
    WeightNaming::Timm,
    WeightNaming::Keras,
];

fn small(options: VggOptions) -> VggOptions {
    options.widths(16).hidden(8).classes(3)
}

/// The same network with a state dict as its weights.
fn again(options: &VggOptions, model: &Model, library: WeightNaming) -> Model {
    let dict = model.to_state_dict(library).unwrap();
    let graph = options.pretrained_from(WeightSet::tensors(dict)).unwrap();
    graph.build(&Device::Cpu).unwrap()
}

#[test]
fn every_librarys_names_and_layouts_lead_back() {
    let variants = [
        small(Vgg16::options()).top(Top::Keras),
        small(Vgg16::options()).dropout(0.5),
        small(Vgg11Bn::options()),
        small(Vgg16::options()).without_top(),
    ];
    for options in variants {
        let model = built(&options.untrained(3).unwrap());
        for library in LIBRARIES {
            let again = again(&options, &model, library);
            assert_same_parameters(&again, &model);
        }
    }
}

#[test]
fn names_are_those_of_the_libraries() {
    let model = built(&small(Vgg11Bn::options()).untrained(3).unwrap());
    let has = |library, name: &str, dims: &[usize]| {
        let dict = model.to_state_dict(library).unwrap();
        assert_eq!(dict[name].dims(), dims, "{library:?} {name}");
        assert_eq!(dict.len(), model.parameters().count());
    };
    has(
        WeightNaming::Torchvision,
        "features.0.weight",
        &[4, 3, 3, 3],
    );
    has(WeightNaming::Torchvision, "features.1.running_var", &[4]);
    has(
        WeightNaming::Torchvision,
        "classifier.0.weight",
        &[8, 32 * 49],
    );
    has(WeightNaming::Torchvision, "classifier.6.bias", &[3]);
    has(WeightNaming::Timm, "pre_logits.fc1.weight", &[8, 32, 7, 7]);
    has(WeightNaming::Timm, "pre_logits.fc2.weight", &[8, 8, 1, 1]);
    has(WeightNaming::Timm, "head.fc.weight", &[3, 8]);
    has(WeightNaming::Keras, "block1_conv1/kernel", &[3, 3, 3, 4]);
    has(WeightNaming::Keras, "block1_bn1/moving_mean", &[4]);
    has(WeightNaming::Keras, "fc1/kernel", &[49 * 32, 8]);
}

#[test]
fn a_flatten_in_keras_order_is_turned() {
    let options = small(Vgg16::options()).top(Top::Keras);
    let model = built(&options.untrained(3).unwrap());
    let hwc = |graph: Graph| graph.replace("flatten", Flatten::hwc());
    let turned = model.edit(hwc).unwrap();
    // The same kernel serves a map in another order, so that it is another
    // network: Keras' kernel is the transposed one as it stands.
    let keras = turned.to_state_dict(WeightNaming::Keras).unwrap();
    let kernel = turned
        .parameters()
        .find(|p| p.layer == "fc1")
        .unwrap()
        .tensor;
    assert_eq!(
        bits(&keras["fc1/kernel"]),
        bits(&kernel.t().unwrap().contiguous().unwrap())
    );
    for library in [WeightNaming::Torchvision, WeightNaming::Timm] {
        let chw = again(&options, &turned, library);
        let x = crate::images((2, 3, 224, 224));
        let (a, b) = (chw.forward(&x).unwrap(), turned.forward(&x).unwrap());
        let distance = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        assert!(distance.to_scalar::<f32>().unwrap() < 1e-6, "{library:?}");
    }
}

/// Where the value of channel-first index `index` stands in Keras' order of a
/// 2x3x4 map.
fn in_keras(index: usize) -> usize {
    let (channel, pixel) = (index / 12, index % 12);
    pixel * 2 + channel
}

#[test]
fn what_lies_between_a_flatten_and_a_dense_layer_is_turned_for_keras() {
    let graph = Graph::new("g", (2, 3, 4)).unwrap();
    let head = Head::new()
        .layer("flatten", Flatten::new())
        .layer("norm", BatchNorm2d::new().relu())
        .layer("rescale", Rescale::new(2.0, 1.0))
        .dense("first", Dense::new(5))
        .layer("after", BatchNorm2d::new())
        .dense("second", Dense::new(3));
    let model = built(&graph.attach(head).unwrap());
    for variable in model.trainable_variables() {
        let counted = (0..variable.elem_count()).map(|index| index as f32);
        let counted: Vec<f32> = counted.collect();
        let values = Tensor::from_vec(counted, variable.shape(), &Device::Cpu).unwrap();
        variable.set(&values).unwrap();
    }
    let keras = model.to_state_dict(WeightNaming::Keras).unwrap();
    let gamma: Vec<f32> = keras["norm/gamma"].to_vec1().unwrap();
    let kernel: Vec<Vec<f32>> = keras["first/kernel"].to_vec2().unwrap();
    for index in 0..24 {
        assert_eq!(gamma[in_keras(index)], index as f32);
        for (out, &value) in kernel[in_keras(index)].iter().enumerate() {
            assert_eq!(value, (out * 24 + index) as f32);
        }
    }
    let after: Vec<f32> = keras["after/beta"].to_vec1().unwrap();
    assert_eq!(after, [0.0, 1.0, 2.0, 3.0, 4.0]);
    let second: Vec<Vec<f32>> = keras["second/kernel"].to_vec2().unwrap();
    assert_eq!(second[4], [4.0, 9.0, 14.0]);
}

#[test]
fn joins_of_flattened_maps_have_no_order_elsewhere() {
    let joined = |join: LayerCall, flatten: Flatten| {
        let mut graph = Graph::new("g", (2, 3, 4)).unwrap();
        let input = graph.outputs()[0];
        let a = graph.add("a", flatten, [input]).unwrap();
        let b = graph.add("b", Flatten::new(), [input]).unwrap();
        let both = graph.add("both", join, [a, b]).unwrap();
        let out = graph.add("out", Dense::new(1), [both]).unwrap();
        built(&graph.with_outputs([out]).unwrap())
    };
    let dict = |model: &Model| model.to_state_dict(WeightNaming::Keras);
    let sum = joined(Add.into(), Flatten::new());
    let kernel = bits(&dict(&sum).unwrap()["out/kernel"]);
    let own = bits(sum.parameters().next().unwrap().tensor);
    for index in 0..24 {
        assert_eq!(kernel[in_keras(index)], own[index]);
    }
    for model in [
        joined(Concat::channels().into(), Flatten::new()),
        joined(Add.into(), Flatten::hwc()),
    ] {
        match dict(&model).unwrap_err() {
            Error::File(FileError::OrderLost { layer, .. }) => assert_eq!(layer, "out"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn layers_without_a_name_there_are_told() {
    let graph = small(Vgg16::options()).without_top().untrained(3).unwrap();
    let model = built(&graph.attach(Conv2d::new(2, 1).named("mine")).unwrap());
    for library in [WeightNaming::Torchvision, WeightNaming::Timm] {
        match model.to_state_dict(library).unwrap_err() {
            Error::File(FileError::NoNameThere { layer, .. }) => assert_eq!(layer, "mine"),
            other => panic!("{other}"),
        }
    }
    assert!(
        model
            .to_state_dict(WeightNaming::Keras)
            .unwrap()
            .contains_key("mine/kernel")
    );
}

#[test]
fn convolutions_made_of_dense_layers_go_back_as_dense_layers() {
    let model = built(&small(Vgg16::options()).untrained(3).unwrap());
    let convolutional = model.to_fully_convolutional().unwrap();
    for library in [WeightNaming::Torchvision, WeightNaming::Timm] {
        let expected = model.to_state_dict(library).unwrap();
        let actual = convolutional.to_state_dict(library).unwrap();
        assert_eq!(actual.len(), expected.len(), "{library:?}");
        for (name, tensor) in &actual {
            assert_eq!(tensor.dims(), expected[name].dims(), "{library:?} {name}");
            assert!(bits(tensor) == bits(&expected[name]), "{library:?} {name}");
        }
    }
}

#[test]
fn layers_of_one_name_there_lose_nothing() {
    let whole = small(Vgg16::options()).untrained(3).unwrap();
    let twin = whole.clone().slice("block1_conv2").unwrap();
    let twin = twin.rename("block1_conv2", "twin").unwrap();
    let front = whole.truncate("block1_conv2").unwrap();
    let model = built(&front.append(twin).unwrap());
    for library in [WeightNaming::Torchvision, WeightNaming::Timm] {
        match model.to_state_dict(library).unwrap_err() {
            Error::File(FileError::SameNameThere { layer, name, .. }) => {
                assert_eq!(
                    (layer.as_str(), name.as_str()),
                    ("twin", "features.2.weight")
                );
            }
            other => panic!("{other}"),
        }
    }
    let keras = model.to_state_dict(WeightNaming::Keras).unwrap();
    assert_eq!(keras.len(), model.parameters().count());
}
