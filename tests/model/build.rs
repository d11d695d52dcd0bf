use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::layers::Init;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{BatchNorm2d, Conv2d, Error, Graph, Labels, Model, Vgg16, Vgg16Bn, WeightSet};

use crate::{assert_error, assert_same_bits, built, images, parameter, two_blocks, values};

#[test]
fn new_parameters_follow_the_seed() {
    let model = |seed| built(two_blocks().seed(seed));
    let keys = |model: &Model| -> Vec<String> {
        let parameters = model.parameters();
        parameters
            .map(|p| format!("{}.{}", p.layer, p.name))
            .collect()
    };
    let (a, b, c) = (model(1), model(1), model(2));
    assert_eq!(keys(&a).len(), 8);
    for key in keys(&a) {
        assert_same_bits(&parameter(&a, &key), &parameter(&b, &key), &key);
        let same = values(&parameter(&a, &key)) == values(&parameter(&c, &key));
        assert_eq!(same, key.ends_with("bias"), "{key}");
    }
    let other = values(&parameter(&a, "block2_conv2.weight"));
    let first = values(&parameter(&a, "block2_conv1.weight"));
    assert_ne!(other[..first.len()], first);
}

/// What a layer draws does not depend on the layers around it.
#[test]
fn edits_elsewhere_leave_new_values_alone() {
    let plain = built(two_blocks());
    let edited = two_blocks()
        .insert_before("conv1_1", BatchNorm2d::new())
        .and_then(|graph| graph.remove("pool1"))
        .unwrap();
    let edited = built(edited);
    let key = "block2_conv2.weight";
    assert_same_bits(&parameter(&plain, key), &parameter(&edited, key), key);
}

#[test]
fn distributions_are_those_asked_for() {
    let graph = two_blocks()
        .replace(
            "conv1_1",
            Conv2d::new(4, 3).same().kernel_init(Init::Constant(0.5)),
        )
        .unwrap();
    let graph = graph.attach(BatchNorm2d::new().named("bn")).unwrap();
    let model = built(graph);
    let is = |key: &str, value: f32| {
        assert!(
            values(&parameter(&model, key)).iter().all(|&v| v == value),
            "{key}"
        );
    };
    is("block1_conv1.weight", 0.5);
    is("block1_conv1.bias", 0.0);
    is("bn.weight", 1.0);
    is("bn.bias", 0.0);
    is("bn.running_mean", 0.0);
    is("bn.running_var", 1.0);
    let bound = (6.0f32 / ((4.0 + 4.0) * 9.0)).sqrt();
    let glorot = values(&parameter(&model, "block1_conv2.weight"));
    assert!(glorot.iter().all(|v| v.abs() <= bound));
    assert!(glorot.iter().any(|v| v.abs() > bound / 2.0));
}

#[test]
fn every_type_of_weight() {
    let x = images((1, 3, 8, 8));
    let single = built(two_blocks()).forward(&x).unwrap();
    let at = |dtype| {
        let options = BuildOptions::new().dtype(dtype);
        two_blocks().build_with(&Device::Cpu, &options).unwrap()
    };
    let double = at(DType::F64);
    assert_eq!(double.dtype(), DType::F64);
    let y = double.forward(&x).unwrap();
    assert_eq!(y.dtype(), DType::F64);
    crate::assert_close(&y, &single, 1e-5, "f64");
    let half = at(DType::F16);
    let y = half.forward(&x).unwrap();
    assert_eq!(y.dtype(), DType::F16);
    // Errors of 2^-11 in each of at most 72 products that are summed, through
    // four layers, grow with the root of their number.
    let terms = 4.0 * f32::sqrt(72.0);
    crate::assert_close_to_largest(&y, &single, terms / 2048.0, "f16");
    let brain = at(DType::BF16);
    assert!(brain.parameters().all(|p| p.tensor.dtype() == DType::BF16));
    // The same with 2^-8.
    let y = brain.forward(&x).unwrap();
    crate::assert_close_to_largest(&y, &single, terms / 256.0, "bf16");
    let options = BuildOptions::new().dtype(DType::U8);
    let error = two_blocks().build_with(&Device::Cpu, &options).unwrap_err();
    let expected = Error::Unsupported {
        what: "hold its parameters in this type",
        reason: "U8 is not a type of weights; use F32, F64, F16 or BF16".to_string(),
    };
    assert_error(error, expected, "U8");
    let edited = double.edit(|graph| graph.truncate("pool1")).unwrap();
    assert_eq!(edited.dtype(), DType::F64);
}

#[test]
fn frozen_dense_weights_may_be_of_half_the_bytes() {
    let classifier = Vgg16::options().widths(32).hidden(24).classes(5);
    let graph = classifier.untrained(1).unwrap();
    let graph = graph.freeze("fc1"..="fc2").unwrap();
    let x = images((2, 3, 224, 224));
    let single = graph.build(&Device::Cpu).unwrap();
    let expected = single.forward(&x).unwrap();
    let options = BuildOptions::new().dense_dtype(DType::BF16);
    let halved = graph.build_with(&Device::Cpu, &options).unwrap();
    let dtypes = |model: &Model| -> Vec<DType> {
        let weights = model.parameters().filter(|p| p.name == "weight");
        weights.map(|p| p.tensor.dtype()).skip(13).collect()
    };
    assert_eq!(dtypes(&halved), [DType::BF16, DType::BF16, DType::F32]);
    // Relative errors of 2^-9 a weight in two layers, and some head room for
    // sums that cancel.
    let y = halved.forward(&x).unwrap();
    crate::assert_close(&y, &expected, 8.0 / 512.0, "bf16 weights");
    let thawed = halved.edit(|graph| graph.unfreeze("fc1")).unwrap();
    assert_eq!(dtypes(&thawed), [DType::F32, DType::BF16, DType::F32]);
    let mut thawed = halved;
    thawed.unfreeze("fc1").unwrap();
    assert_eq!(dtypes(&thawed), [DType::F32, DType::BF16, DType::F32]);
    let loss = thawed.forward_training(&x).unwrap().sqr().unwrap();
    let gradients = loss.sum_all().unwrap().backward().unwrap();
    let fc1 = thawed.parameters().find(|p| p.layer == "fc1").unwrap();
    assert!(gradients.get(fc1.tensor).is_some());
    let error = graph
        .build_with(&Device::Cpu, &BuildOptions::new().dense_dtype(DType::U8))
        .unwrap_err();
    let expected = Error::Unsupported {
        what: "hold its dense weights in this type",
        reason: "U8 is not one of F32, F16 and BF16".to_string(),
    };
    assert_error(error, expected, "U8");
}

#[test]
fn parameters_and_variables_come_in_order() {
    let model = built(two_blocks());
    let keys: Vec<String> = model
        .parameters()
        .map(|p| format!("{}.{}", p.layer, p.name))
        .collect();
    let layers = [
        "block1_conv1",
        "block1_conv2",
        "block2_conv1",
        "block2_conv2",
    ];
    let expected: Vec<String> = layers
        .iter()
        .flat_map(|layer| ["weight", "bias"].map(|name| format!("{layer}.{name}")))
        .collect();
    assert_eq!(keys, expected);
    let variables = model.trainable_variables();
    assert_eq!(variables.len(), 8);
    for (variable, parameter) in variables.iter().zip(model.parameters()) {
        assert_eq!(variable.as_tensor().id(), parameter.tensor.id());
        assert!(parameter.is_trainable);
    }
}

#[test]
fn what_is_frozen_is_no_variable() {
    let model = built(two_blocks().freeze_through("pool1").unwrap());
    let variables: Vec<_> = model.trainable_variables();
    assert_eq!(variables.len(), 4);
    assert_eq!(variables[0].dims(), [8, 4, 3, 3]);
    for parameter in model.parameters() {
        let frozen = parameter.layer.starts_with("block1");
        assert_eq!(parameter.is_trainable, !frozen);
        assert_eq!(parameter.tensor.is_variable(), !frozen);
    }
    let x = images((1, 3, 8, 8));
    let pool = model.forward_to("pool1", &x).unwrap();
    assert!(!pool.track_op(), "a frozen prefix records no gradients");
    assert!(model.forward_training(&x).unwrap().track_op());
    let normed = Vgg16Bn::options().widths(16).untrained(0).unwrap();
    let normed = built(normed.truncate("block1_relu1").unwrap());
    assert_eq!(normed.parameters().count(), 6);
    assert_eq!(normed.trainable_variables().len(), 4);
}

#[test]
fn weights_of_one_model_build_another() {
    let model = built(two_blocks());
    let weights = WeightSet::from(&model);
    let again = Vgg16::options()
        .widths(16)
        .pretrained_from(weights)
        .and_then(|graph| graph.truncate("block2_pool"))
        .unwrap();
    let again = built(again);
    let x = images((1, 3, 8, 8));
    let expected = model.forward(&x).unwrap();
    assert_same_bits(&again.forward(&x).unwrap(), &expected, "the same network");
    assert_eq!(model.parameters().count(), again.parameters().count());
    for (a, b) in model.parameters().zip(again.parameters()) {
        assert_same_bits(a.tensor, b.tensor, a.layer);
    }
}

/// Training one model must not reach into another that began with its weights.
#[test]
fn models_of_one_weight_set_do_not_share_variables() {
    let model = built(two_blocks());
    let weights = WeightSet::from(&model);
    let options = Vgg16::options().widths(16);
    let graph = options.pretrained_from(weights).unwrap();
    let graph = graph.truncate("block2_pool").unwrap();
    let x = images((1, 3, 8, 8));
    let before = model.forward(&x).unwrap();
    let frozen = built(graph.clone().freeze_all());
    let free = built(graph);
    for variable in model.trainable_variables() {
        let zeros = variable.zeros_like().unwrap();
        variable.set(&zeros).unwrap();
    }
    assert!(
        values(&model.forward(&x).unwrap())
            .iter()
            .all(|&v| v == 0.0)
    );
    assert_same_bits(&frozen.forward(&x).unwrap(), &before, "frozen");
    assert_same_bits(&free.forward(&x).unwrap(), &before, "trainable");
}

#[test]
fn tensors_in_memory_are_found_by_name_and_shape() {
    let weight = images((4, 3, 3, 3));
    let bias = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], &Device::Cpu).unwrap();
    let named = |weight: &str, bias_name: &str, tensor: &Tensor| {
        let tensors = HashMap::from([
            (weight.to_string(), tensor.clone()),
            (bias_name.to_string(), bias.clone()),
        ]);
        let graph = Vgg16::options()
            .widths(16)
            .pretrained_from(WeightSet::tensors(tensors));
        graph.unwrap().truncate("block1_conv1").unwrap()
    };
    let torchvision = built(named("features.0.weight", "features.0.bias", &weight));
    assert_same_bits(
        &parameter(&torchvision, "block1_conv1.weight"),
        &weight,
        "torchvision",
    );
    let hwio = weight.permute((2, 3, 1, 0)).unwrap().contiguous().unwrap();
    let keras = built(named("block1_conv1/kernel:0", "block1_conv1/bias:0", &hwio));
    assert_same_bits(&parameter(&keras, "block1_conv1.weight"), &weight, "Keras");
    let missing = named("features.1.weight", "features.0.bias", &weight);
    let error = missing.build(&Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { key, .. } if key == "features.0.weight"));
    let misshapen = named("features.0.weight", "features.0.bias", &hwio);
    let error = misshapen.build(&Device::Cpu).unwrap_err();
    assert!(matches!(
        error,
        Error::TensorShape { expected, actual, .. }
            if expected == [4, 3, 3, 3] && actual == [3, 3, 3, 4]
    ));
}

#[test]
fn a_graph_of_a_model_does_not_build_without_it() {
    let model = built(two_blocks());
    let error = model.graph().build(&Device::Cpu).unwrap_err();
    let expected = Error::DetachedParameter {
        layer: "block1_conv1".to_string(),
        parameter: "weight".to_string(),
    };
    assert_error(error, expected, "detached");
    let other = built(two_blocks());
    let graph = model.graph().clone();
    let error = other.edit(|_| Ok(graph)).unwrap_err();
    assert!(matches!(error, Error::DetachedParameter { .. }));
    let anew = model.graph().clone().reinitialize(..).unwrap();
    assert!(anew.build(&Device::Cpu).is_ok());
}

#[test]
fn values_that_are_not_finite_are_reported() {
    let model = built(two_blocks());
    assert!(model.non_finite().unwrap().is_empty());
    let variables = model.trainable_variables();
    let bad = [f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY];
    variables[1]
        .set(&Tensor::new(&bad, &Device::Cpu).unwrap())
        .unwrap();
    let found = model.non_finite().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].parameter, "block1_conv1.bias");
    assert_eq!(found[0].values, 3);
}

/// A double that no float holds is finite all the same.
#[test]
fn finite_doubles_beyond_floats_are_finite() {
    let options = BuildOptions::new().dtype(DType::F64);
    let model = two_blocks().build_with(&Device::Cpu, &options).unwrap();
    let large = Tensor::new(&[1e300f64, 1.0, 1.0, 1.0], &Device::Cpu).unwrap();
    model.trainable_variables()[1].set(&large).unwrap();
    assert!(model.non_finite().unwrap().is_empty());
}

#[test]
fn what_does_not_fit_into_memory_is_refused() {
    const MOST: usize = 1 << 24;
    let graph = Graph::new("g", vgg_surgery::graph::Shape::any_size(MOST)).unwrap();
    let graph = graph
        .attach(Conv2d::new(MOST, 1 << 10).named("huge"))
        .unwrap();
    let error = graph.build(&Device::Cpu).unwrap_err();
    assert_eq!(error.layer(), Some("huge"));
    assert!(matches!(error, Error::InvalidLayer { .. }));
}

#[test]
fn a_model_shows_what_it_is() {
    let text = format!("{:?}", built(two_blocks()));
    assert!(
        text.contains("\"vgg16\"") && text.contains("parameters: 1140"),
        "{text}"
    );
    assert!(built(two_blocks()).device().is_cpu());
}

#[test]
fn a_labelled_models_head_is_read_without_a_number_of_classes() {
    let options = Vgg16::options().widths(16).hidden(8);
    let three = options.clone().classes(3).untrained(4).unwrap();
    let model = built(three.with_labels(Labels::new(["a", "b", "c"])).unwrap());
    let again = built(options.pretrained_from(&model).unwrap());
    let key = "predictions.weight";
    assert_same_bits(&parameter(&again, key), &parameter(&model, key), key);
    assert_eq!(again.graph().labels(), model.graph().labels());
}
