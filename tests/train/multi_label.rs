//! Metrics of one sigmoid output, and of several labels. The expected values follow
//! scikit-learn's definitions, with 0 for a division by 0, and are computed by hand.

use candle_core::{Device, Tensor};
use vgg_surgery::data::{FnDataset, Sample};
use vgg_surgery::train::{Evaluation, Finding};
use vgg_surgery::{Activation, Dense, Error, Graph, Loss, Metric, Model, TensorDataset, Trainer};

use crate::{assert_near, built};

/// A network whose logits are its inputs, with or without a sigmoid.
fn identity(labels: usize, activation: Activation) -> Model {
    let dense = Dense::new(labels).without_bias().activation(activation);
    let graph = Graph::new("scores", labels).unwrap();
    let model = built(graph.attach(dense.named("out")).unwrap());
    let mut eye = vec![0f32; labels * labels];
    eye.iter_mut()
        .step_by(labels + 1)
        .for_each(|one| *one = 1.0);
    let eye = Tensor::from_vec(eye, (labels, labels), &Device::Cpu).unwrap();
    model.trainable_variables()[0].set(&eye).unwrap();
    model
}

/// Four examples of three labels. Label 0: one right, one missed, one invented;
/// label 1: two right; label 2: never predicted, one missed. Two examples are right.
fn data() -> TensorDataset {
    let x = [
        [2f32, 1.0, -1.0],
        [-1.0, 3.0, -2.0],
        [0.5, -1.0, -1.0],
        [-2.0, -1.0, -3.0],
    ];
    let y = [[1f32, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0; 3]];
    let [x, y] = [x, y].map(|rows| Tensor::new(&rows, &Device::Cpu).unwrap());
    TensorDataset::values(x, y).unwrap()
}

const ALL: [Metric; 9] = [
    Metric::Accuracy,
    Metric::ExactMatch,
    Metric::Precision,
    Metric::Recall,
    Metric::F1,
    Metric::MicroPrecision,
    Metric::MicroRecall,
    Metric::MicroF1,
    Metric::Confusion,
];

fn evaluated(model: &mut Model, data: &TensorDataset, threshold: f64) -> Evaluation {
    let trainer = Trainer::new(model).loss(Loss::binary_cross_entropy());
    let trainer = trainer.metrics(ALL).threshold(threshold).batch_size(3);
    trainer.evaluate(data).unwrap()
}

fn metrics(evaluation: &Evaluation) -> Vec<f64> {
    let metrics = evaluation.metrics.iter();
    metrics.map(|metric| metric.value).collect()
}

#[test]
fn labels_are_measured_one_by_one_and_together() {
    for activation in [Activation::Sigmoid, Activation::Linear] {
        let found = evaluated(&mut identity(3, activation), &data(), 0.5);
        let third = 1.0 / 3.0;
        let expected = [
            9.0 / 12.0,
            0.5,
            (0.5 + 1.0 + 0.0) * third,
            (0.5 + 1.0 + 0.0) * third,
            (0.5 + 1.0 + 0.0) * third,
            0.75,
            0.6,
            2.0 * 0.75 * 0.6 / 1.35,
        ];
        assert_near(&metrics(&found), &expected, 1e-12, "metrics of labels");
        assert!(found.confusion.is_none());
        let [first, second, last] = &found.label_confusions[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (first.precision(1), first.recall(1), first.f1(1)),
            (0.5, 0.5, 0.5)
        );
        assert_eq!((second.get(1, 1), second.get(0, 0)), (2, 2));
        assert_eq!((last.get(1, 0), last.f1(1)), (1, 0.0));
    }
}

/// Scores on both sides of the threshold exactly as the labels are.
#[test]
fn a_perfect_network_of_several_labels_is_perfect() {
    let x = Tensor::new(&[[3f32, 2.0], [-1.0, 4.0], [-2.0, -3.0]], &Device::Cpu).unwrap();
    let y = Tensor::new(&[[1f32, 1.0], [0.0, 1.0], [0.0, 0.0]], &Device::Cpu).unwrap();
    let data = TensorDataset::values(x, y).unwrap();
    let found = evaluated(&mut identity(2, Activation::Sigmoid), &data, 0.5);
    assert_eq!(metrics(&found), [1.0; 8]);
}

/// At 0.7 the logit must be above 0.85: the invented label is gone.
#[test]
fn the_threshold_can_be_set() {
    let found = evaluated(&mut identity(3, Activation::Sigmoid), &data(), 0.7);
    assert_eq!(found.get("accuracy"), Some(10.0 / 12.0));
    assert_eq!(found.get("exact_match"), Some(0.75));
    assert_eq!(found.get("micro_precision"), Some(1.0));
    let mut model = identity(3, Activation::Sigmoid);
    let trainer = Trainer::new(&mut model).threshold(1.0);
    let error = trainer.evaluate(&data()).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}

#[test]
fn the_rank_of_several_labels_is_refused_and_found() {
    let mut model = identity(3, Activation::Sigmoid);
    let trainer = Trainer::new(&mut model).loss(Loss::binary_cross_entropy());
    let mut trainer = trainer.metrics([Metric::TopAccuracy(2)]);
    let found = trainer.check(&data()).unwrap();
    let error = trainer.fit_without_validation(&data()).unwrap_err();
    let reason = error.to_string();
    assert!(reason.contains("Metric::ExactMatch"), "{reason}");
    assert_eq!(found, [Finding::Refused { reason }]);
}

/// One output for two classes: three of four are right, with one missed.
#[test]
fn a_single_output_is_a_classifier_of_two_classes() {
    let x = Tensor::new(&[[2f32], [-1.0], [-2.0], [0.5]], &Device::Cpu).unwrap();
    let classes = TensorDataset::new(x.clone(), [1, 1, 0, 1]).unwrap();
    let y = Tensor::new(&[[1f32], [1.0], [0.0], [1.0]], &Device::Cpu).unwrap();
    let values = TensorDataset::values(x, y).unwrap();
    for data in [classes, values] {
        for activation in [Activation::Sigmoid, Activation::Linear] {
            let found = evaluated(&mut identity(1, activation), &data, 0.5);
            let (recall, f1) = (2.0 / 3.0, 0.8);
            let expected = [0.75, 0.75, 1.0, recall, f1, 1.0, recall, f1];
            assert_near(&metrics(&found), &expected, 1e-12, "one output");
            let confusion = found.confusion.unwrap();
            assert_eq!((confusion.get(1, 0), confusion.get(0, 1)), (1, 0));
        }
    }
}

/// Several labels as fractions of one class were measured by the largest one.
#[test]
fn labels_as_fractions_are_refused_and_found() {
    let x = Tensor::new(&[[3f32, 2.0, -1.0]], &Device::Cpu).unwrap();
    let data = |fractions: [f32; 3]| {
        let x = x.clone();
        FnDataset::new(1, move |_| Ok(Sample::new(x.get(0)?, fractions.to_vec())))
    };
    let mut model = identity(3, Activation::Sigmoid);
    let trainer = Trainer::new(&mut model).loss(Loss::binary_cross_entropy());
    let mut trainer = trainer.metrics([Metric::Accuracy]);
    let labels = data([1.0, 1.0, 0.0]);
    let found = trainer.check(&labels).unwrap();
    let reason = trainer
        .fit_without_validation(&labels)
        .unwrap_err()
        .to_string();
    assert!(reason.contains("tensor of values"), "{reason}");
    assert_eq!(found, [Finding::Refused { reason }]);
    assert!(trainer.evaluate(&data([0.75, 0.25, 0.0])).is_ok());
}
