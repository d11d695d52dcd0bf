use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::surgery::Prune;
use vgg_surgery::{
    Activation, Conv2d, Dense, Error, Graph, Head, Image, Model, Preprocessing, Vgg16,
};

use crate::noise;

fn linear(weight: [[f32; 2]; 2]) -> Model {
    let head = Head::new().dense("out", Dense::new(2).without_bias());
    let graph = Graph::new("g", 2).unwrap().attach(head).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let weight = Tensor::new(&weight, &Device::Cpu).unwrap();
    model.trainable_variables()[0].set(&weight).unwrap();
    model
}

#[test]
fn figures_are_those_worked_out_by_hand() {
    // Outputs (1, 0), (0, 2) against (1, 0), (0, 1), of mean 1/2.
    let (parent, model) = (linear([[1., 0.], [0., 1.]]), linear([[1., 0.], [0., 2.]]));
    let x = Tensor::new(&[[1f32, 0.], [0., 1.]], &Device::Cpu).unwrap();
    let found = model.verify(&parent, &x).unwrap();
    let out = found.layer("out").unwrap();
    assert_eq!(out.max_error, 1.0);
    assert!((out.r2 - 0.0).abs() < 1e-12, "{}", out.r2);
    assert!(
        (out.cosine - 3.0 / 10f64.sqrt()).abs() < 1e-12,
        "{}",
        out.cosine
    );
    assert_eq!(found.top1, Some(1.0));
    let turned = linear([[1., 2.], [0., 1.]]);
    let found = turned.verify(&parent, &x).unwrap();
    assert_eq!(found.top1, Some(0.5));
}

#[test]
fn a_model_agrees_with_itself_and_only_what_follows_an_edit_differs() {
    let graph = Vgg16::options()
        .widths(16)
        .hidden(8)
        .classes(3)
        .untrained(1)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let x = noise((3, 3, 32, 32), 1);
    let same = model.verify(&model, &x).unwrap();
    assert_eq!(same.layers.len(), model.graph().len() - 1);
    assert!(
        same.layers
            .iter()
            .all(|check| (check.max_error, check.r2) == (0.0, 1.0))
    );
    let pruned = model
        .prune_filters("block4_conv1", Prune::count(5))
        .unwrap();
    let found = pruned.verify(&model, &x).unwrap();
    assert!(found.layer("block4_conv1").is_none(), "its shape differs");
    assert_eq!(found.layer("block3_pool").unwrap().r2, 1.0);
    let after = found.layer("block4_conv2").unwrap();
    assert!(after.r2 < 1.0 && after.max_error > 0.0);
    let table = found.to_string();
    assert!(table.starts_with("Layer"), "{table}");
    let [other] = found.not_compared.as_slice() else {
        panic!("{table}");
    };
    assert_eq!(other.layer, "block4_conv1");
    let line = format!("not compared: {}, was {}", other.shape, other.parent);
    assert!(table.contains(&line), "{table}");
    assert_eq!(table.lines().count(), 2 + found.layers.len() + 1 + 1);
}

#[test]
fn vectors_are_compared_with_maps_of_one_pixel() {
    let graph = Vgg16::options().widths(16).hidden(8).classes(3);
    let graph = graph.input((3, 224, 224)).untrained(1).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let x = noise((1, 3, 224, 224), 1);
    let verification = model.to_fully_convolutional().unwrap();
    let verification = verification.verify(&model, &x).unwrap();
    for layer in ["fc1", "fc2", "predictions"] {
        let found = verification.layer(layer).unwrap();
        assert!(found.r2 > 1.0 - 1e-6, "{verification}");
    }
    assert_eq!(verification.not_compared, []);
}

#[test]
fn outputs_of_other_shapes_have_no_classes_in_common() {
    let graph = Graph::new("g", (3, 4, 4))
        .unwrap()
        .attach(Conv2d::new(2, 1).named("a"))
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let longer = model
        .edit(|graph| graph.attach(Conv2d::new(3, 1).named("b")))
        .unwrap();
    let x = noise((1, 3, 4, 4), 1);
    assert_eq!(longer.verify(&model, &x).unwrap().top1, None);
    let activated = model
        .edit(|graph| graph.attach(Activation::Softmax.named("s")))
        .unwrap();
    assert!(activated.verify(&model, &x).unwrap().top1.is_some());
    assert!(model.verify(&model, &noise((1, 2, 4, 4), 1)).is_err());
}

/// A map of two channels that are the input's, in this order.
fn ordered(weight: [[f32; 2]; 2]) -> Model {
    let conv = Conv2d::new(2, 1).without_bias().named("out");
    let graph = Graph::new("g", (2, 1, 4)).unwrap().attach(conv).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let weight = Tensor::new(&weight, &Device::Cpu).unwrap();
    let weight = weight.reshape((2, 2, 1, 1)).unwrap();
    model.trainable_variables()[0].set(&weight).unwrap();
    model
}

#[test]
fn classes_of_a_map_are_compared_place_by_place() {
    let x = Tensor::new(&[[[1f32, 3., 2., 0.]], [[0., 0., 9., 8.]]], &Device::Cpu).unwrap();
    let x = x.unsqueeze(0).unwrap();
    let (parent, same) = (ordered([[1., 0.], [0., 1.]]), ordered([[2., 0.], [0., 2.]]));
    assert_eq!(same.verify(&parent, &x).unwrap().top1, Some(1.0));
    // The second channel times 1/4 is 2.25 and 2 where the first is 2 and 0,
    // and times 1/5 is 1.8 and 1.6: the largest value of all moves from the
    // second channel to the first by either, the class by the latter alone.
    let weaker = ordered([[1., 0.], [0., 0.25]]);
    assert_eq!(weaker.verify(&parent, &x).unwrap().top1, Some(1.0));
    let weakest = ordered([[1., 0.], [0., 0.2]]);
    assert_eq!(weakest.verify(&parent, &x).unwrap().top1, Some(0.75));
    let x = Tensor::cat(&[&x, &x.zeros_like().unwrap()], 0).unwrap();
    assert_eq!(weakest.verify(&parent, &x).unwrap().top1, Some(0.875));
}

#[test]
fn a_nan_is_the_largest_error_wherever_it_is() {
    let parent = linear([[1., 0.], [0., 1.]]);
    let model = linear([[1., 0.], [f32::NAN, 1.]]);
    let x = Tensor::new(&[[1f32, 0.], [0., 1.]], &Device::Cpu).unwrap();
    let found = model.verify(&parent, &x).unwrap();
    assert!(found.layer("out").unwrap().max_error.is_nan());
    // Only in the first of the images, and not in what is run last.
    let x = noise((9, 2), 1);
    let first = Tensor::new(&[[f32::INFINITY, 0.]], &Device::Cpu).unwrap();
    let x = Tensor::cat(&[first, x], 0).unwrap();
    let found = linear([[1., 0.], [0., 1.]]).verify(&parent, &x).unwrap();
    assert!(found.layer("out").unwrap().max_error.is_nan());
}

#[test]
fn places_of_nan_are_of_no_class() {
    let model = linear([[1., 0.], [0., 1.]]);
    let x = Tensor::new(&[[f32::NAN, 0.], [0., 1.]], &Device::Cpu).unwrap();
    assert_eq!(model.verify(&model, &x).unwrap().top1, Some(0.5));
}

#[test]
fn many_images_are_measured_as_one() {
    let (parent, model) = (linear([[1., 0.2], [0., 1.]]), linear([[1., 0.], [0.1, 2.]]));
    let x = noise((11, 2), 3);
    let found = model.verify(&parent, &x).unwrap();
    let out = found.layer("out").unwrap();
    let values = |model: &Model| -> Vec<f64> {
        let values = model.forward(&x).unwrap().flatten_all().unwrap();
        values.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    let (own, other) = (values(&model), values(&parent));
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
        own.iter().zip(&other).map(|(&a, &b)| term(a, b)).sum()
    };
    let mean = sum(&|_, b| b) / other.len() as f64;
    let r2 = 1.0 - sum(&|a, b| (a - b).powi(2)) / sum(&|_, b| (b - mean).powi(2));
    let norms = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    let largest = own.iter().zip(&other).map(|(a, b)| (a - b).abs());
    // A batch of another size may round its products otherwise, by 2^-24.
    assert!((out.max_error - largest.fold(0.0, f64::max)).abs() < 1e-6);
    assert!((out.r2 - r2).abs() < 1e-6, "{} {r2}", out.r2);
    assert!((out.cosine - sum(&|a, b| a * b) / norms).abs() < 1e-6);
    let classes = |values: &[f64]| -> Vec<bool> { values.chunks(2).map(|v| v[1] > v[0]).collect() };
    let same = classes(&own)
        .iter()
        .zip(classes(&other))
        .filter(|(a, b)| *a == b)
        .count();
    assert_eq!(found.top1, Some(same as f64 / 11.0));
}

#[test]
fn no_images_verify_nothing() {
    let model = linear([[1., 0.], [0., 1.]]);
    let none = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
    let error = model.verify(&model, &none).unwrap_err();
    let empty = |error| matches!(error, Error::Image(ImageError::EmptyBatch));
    assert!(empty(error));
    assert!(empty(model.verify(&model, &[]).unwrap_err()));
    let (two, three) = (noise((2, 2), 1), noise((3, 2), 1));
    let error = model.verify(&model, (&two, &three)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("2 images can't be compared with 3"),
        "{error}"
    );
}

/// Each model preprocesses images by its own rule; tensors hold what came out.
#[test]
fn images_are_verified_as_their_tensors_are() {
    let graph = Vgg16::options().widths(16).without_top().untrained(3);
    let graph = graph.unwrap().truncate("block2_pool").unwrap();
    let caffe = graph.with_preprocessing(Preprocessing::caffe().with_size(32, 32));
    let old = caffe.build(&Device::Cpu).unwrap();
    let new = old.prune_filters("block1_conv1", Prune::fraction(0.25));
    let torch = Preprocessing::torchvision().with_size(32, 32);
    let new = new.unwrap().edit(|g| Ok(g.with_preprocessing(torch)));
    let new = new.unwrap();
    let bytes: Vec<u8> = (0..40 * 36 * 3).map(|i| (i * i % 251) as u8).collect();
    let images = vec![Image::from_rgb8(40, 36, bytes).unwrap()];
    let tensor = |model: &Model| {
        let preprocessing = model.graph().input_preprocessing().unwrap();
        preprocessing.apply_batch(&images).unwrap()
    };
    let found = new.verify(&old, &images).unwrap();
    let expected = new.verify(&old, (&tensor(&new), &tensor(&old))).unwrap();
    assert_eq!(found, expected);
    assert_ne!(found, new.verify(&old, &tensor(&new)).unwrap());
}

/// The largest of one value is always the same.
#[test]
fn a_single_output_is_compared_by_its_two_classes() {
    let of = |weight: f32, out: Dense| {
        let graph = Graph::new("g", 1)
            .unwrap()
            .attach(out.without_bias().named("out"));
        let model = graph.unwrap().build(&Device::Cpu).unwrap();
        let weight = Tensor::new(&[[weight]], &Device::Cpu).unwrap();
        model.trainable_variables()[0].set(&weight).unwrap();
        model
    };
    let x = Tensor::new(&[[2f32], [-1.0], [3.0], [-4.0]], &Device::Cpu).unwrap();
    let sigmoid = |weight| of(weight, Dense::new(1).sigmoid());
    let (parent, other) = (sigmoid(1.0), sigmoid(-1.0));
    assert_eq!(sigmoid(0.5).verify(&parent, &x).unwrap().top1, Some(1.0));
    assert_eq!(other.verify(&parent, &x).unwrap().top1, Some(0.0));
    let quantity = of(1.0, Dense::new(1));
    assert_eq!(quantity.verify(&quantity, &x).unwrap().top1, None);
    let pets = vgg_surgery::Labels::new(["cat", "dog"]);
    let logit = quantity.edit(|graph| graph.with_labels(pets)).unwrap();
    assert_eq!(logit.verify(&parent, &x).unwrap().top1, Some(1.0));
}
