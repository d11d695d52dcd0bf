//! A single output that stands for two classes, and outputs that don't.

use candle_core::{Device, Tensor};
use vgg_surgery::{Activation, Dense, Error, Graph, Head, Image, Labels, Model, Preprocessing};

use crate::{assert_error, built, values};

/// A network of one pixel whose logits are these, whatever the image.
fn constant(logits: &[f32], activation: Activation) -> Graph {
    let zeros = vgg_surgery::layers::Init::ZEROS;
    let dense = Dense::new(logits.len()).kernel_init(zeros);
    let head = Head::new().flatten("flat");
    let head = head.dense("out", dense.activation(activation));
    let graph = Graph::new("g", (3, 1, 1)).unwrap().attach(head).unwrap();
    let graph = graph.with_preprocessing(Preprocessing::new());
    let model = built(graph.clone());
    let bias = Tensor::new(logits, &Device::Cpu).unwrap();
    model.trainable_variables()[1].set(&bias).unwrap();
    let weights = vgg_surgery::WeightSet::from(&model);
    graph.also_from(weights, "out").unwrap()
}

fn image() -> Image {
    Image::from_rgb8(1, 1, vec![7; 3]).unwrap()
}

fn pets() -> Labels {
    Labels::new(["cat", "dog"])
}

/// The sigmoid of 2, in double precision by Python's math module.
const OF_TWO: f32 = 0.880_797_1;

fn scores(graph: Graph) -> Vec<f32> {
    let prediction = built(graph).predict_image(&image()).unwrap();
    prediction.scores().to_vec()
}

fn assert_near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{actual:?}");
    let mut pairs = actual.iter().zip(expected);
    assert!(pairs.all(|(a, e)| (a - e).abs() < 1e-6), "{actual:?}");
}

#[test]
fn a_single_sigmoid_gives_the_probabilities_of_two_classes() {
    for (logit, best) in [(2.0, 1), (-2.0, 0), (0.0, 0)] {
        let graph = constant(&[logit], Activation::Sigmoid);
        assert_eq!(graph.classes(), 2);
        let model = built(graph.with_labels(pets()).unwrap());
        let prediction = model.predict_image(&image()).unwrap();
        let top = prediction.top(5);
        assert_eq!(top.len(), 2);
        assert_eq!(prediction.best().unwrap().index, best);
        assert_eq!(top[0].name.as_deref(), Some(["cat", "dog"][best]));
        assert_eq!(model.classify(&image(), 1).unwrap()[0].index, best);
        assert!((top[0].score + top[1].score - 1.0).abs() < 1e-6);
    }
    let found = scores(constant(&[2.0], Activation::Sigmoid));
    assert_near(&found, &[1.0 - OF_TWO, OF_TWO]);
}

#[test]
fn the_sigmoid_may_be_a_layer_of_its_own() {
    let graph = constant(&[2.0], Activation::Linear);
    let graph = graph.attach(Activation::Sigmoid.named("probability"));
    let graph = graph.unwrap().with_labels(pets()).unwrap();
    assert_eq!(graph.classes(), 2);
    assert_near(&scores(graph), &[1.0 - OF_TWO, OF_TWO]);
}

#[test]
fn a_single_value_without_a_sigmoid_is_a_quantity() {
    let graph = constant(&[2.0], Activation::Linear);
    assert_eq!(graph.classes(), 1);
    assert_eq!(scores(graph.clone()), [2.0]);
    let error = built(graph).predict_image(&image()).unwrap();
    let error = error.above(0.5).unwrap_err();
    let expected = Error::Unsupported {
        what: "compare scores with a probability",
        reason: "its output \"out\" ends in no sigmoid and no softmax; attach one \
                 (attach(Activation::Sigmoid)), or rank the scores with top()"
            .to_string(),
    };
    assert_error(error, expected, "a quantity");
    let relu = constant(&[2.0], Activation::Relu);
    assert_eq!(
        (relu.classes(), relu.with_labels(pets()).is_err()),
        (1, true)
    );
}

#[test]
fn two_labels_make_a_single_value_a_logit() {
    let graph = constant(&[2.0], Activation::Linear);
    let graph = graph.with_labels(pets()).unwrap();
    assert_eq!(graph.classes(), 2);
    assert_near(&scores(graph.clone()), &[1.0 - OF_TWO, OF_TWO]);
    let prediction = built(graph).predict_image(&image()).unwrap();
    assert_eq!(
        prediction.above(0.5).unwrap()[0].name.as_deref(),
        Some("dog")
    );
}

#[test]
fn a_single_label_has_a_score_of_its_own() {
    let graph = constant(&[2.0], Activation::Sigmoid);
    let graph = graph.with_labels(Labels::new(["cat"])).unwrap();
    assert_eq!(graph.classes(), 1);
    assert_near(&scores(graph.clone()), &[OF_TWO]);
    let prediction = built(graph).predict_image(&image()).unwrap();
    assert_eq!(prediction.above(0.5).unwrap().len(), 1);
    assert_eq!(prediction.above(0.9).unwrap(), []);
}

#[test]
fn labels_above_a_threshold_come_most_probable_first() {
    let graph = constant(&[0.5, -1.0, 2.0, 0.0], Activation::Sigmoid);
    let labels = Labels::new(["cat", "dog", "grass", "sky"]);
    let model = built(graph.with_labels(labels).unwrap());
    let prediction = model.predict_image(&image()).unwrap();
    let names = |threshold| -> Vec<String> {
        let above = prediction.above(threshold).unwrap().into_iter();
        above.filter_map(|label| label.name).collect()
    };
    assert_eq!(names(0.5), ["grass", "cat"]);
    assert_eq!(names(0.9), [""; 0]);
    assert_eq!(names(0.2), ["grass", "cat", "sky", "dog"]);
    for threshold in [-0.1, 1.5, f64::NAN] {
        let error = prediction.above(threshold).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn labels_are_one_or_two_for_a_single_output() {
    let graph = constant(&[2.0], Activation::Sigmoid);
    let error = graph.with_labels(Labels::new(["a", "b", "c"])).unwrap_err();
    let expected = Error::Unsupported {
        what: "take these labels",
        reason: "there are 3 for the 2 classes of \"out\"".to_string(),
    };
    assert_error(error, expected, "three labels");
}

#[test]
fn two_labels_go_when_the_sigmoid_goes() {
    let graph = constant(&[2.0], Activation::Linear);
    let sigmoid = graph.clone().attach(Activation::Sigmoid.named("p"));
    let graph = graph.with_labels(pets()).unwrap();
    let relu = graph
        .clone()
        .attach(Activation::Relu.named("relu"))
        .unwrap();
    assert_eq!((relu.labels(), relu.classes()), (None, 1));
    let labelled = sigmoid.unwrap().with_labels(pets()).unwrap();
    let logit = labelled.clone().truncate("out").unwrap();
    assert_eq!((logit.labels(), logit.classes()), (None, 1));
    let kept = graph.attach(Activation::Sigmoid.named("p")).unwrap();
    assert_eq!(kept.labels(), Some(&pets()));
}

#[test]
fn a_model_hands_out_its_labels_and_its_preprocessing() {
    let graph = constant(&[2.0], Activation::Sigmoid);
    let model: Model = built(graph.clone().with_labels(pets()).unwrap());
    assert_eq!(model.labels(), Some(&pets()));
    let x = model.preprocess(&Image::from_rgb8(2, 2, vec![51; 12]).unwrap());
    let x = x.unwrap();
    assert_eq!(x.dims(), [1, 3, 1, 1]);
    assert_eq!(values(&x), [0.2; 3]);
}
