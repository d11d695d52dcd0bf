//! What is measured by default, and which names metrics may have.

use candle_core::Tensor;
use vgg_surgery::{Conv2d, Error, Graph, Loss, Metric, Model, Result, TensorDataset, Trainer};

use crate::fit::linear;
use crate::{built, noise};

fn names(model: &mut Model, loss: Loss, data: &TensorDataset) -> Vec<String> {
    let mut trainer = Trainer::new(model).loss(loss);
    let history = trainer.fit_without_validation(data).unwrap();
    let evaluation = trainer.evaluate(data).unwrap();
    let names = history.last().unwrap().names();
    assert_eq!(evaluation.metrics.len() + 1, names.len());
    names
}

/// A model whose output is a feature map with one score at each position.
fn map() -> (Model, TensorDataset) {
    let graph = Graph::new("map", (3, 4, 4)).unwrap();
    let model = built(graph.attach(Conv2d::new(1, 1).named("out")).unwrap());
    let yes = noise((4, 1, 4, 4), 2).gt(0.0).unwrap();
    let yes = yes.to_dtype(candle_core::DType::F32).unwrap();
    (
        model,
        TensorDataset::values(noise((4, 3, 4, 4), 1), yes).unwrap(),
    )
}

#[test]
fn accuracy_is_measured_only_if_there_are_classes() {
    let mean = |scores: &Tensor| -> Result<Tensor> { Ok(scores.sqr()?.mean_all()?) };
    let own = || Loss::custom(move |scores, _| mean(scores));
    let classes = || TensorDataset::new(noise((4, 4), 1), vec![0, 1, 0, 1]).unwrap();
    let numbers = TensorDataset::values(noise((4, 4), 1), noise((4, 2), 2)).unwrap();

    let (mut model, data) = map();
    assert_eq!(
        names(&mut model, Loss::binary_cross_entropy(), &data),
        ["loss"]
    );
    assert_eq!(names(&mut model, own(), &data), ["loss"]);
    let mut vector = built(linear(2));
    assert_eq!(names(&mut vector, own(), &numbers), ["loss"]);
    assert_eq!(names(&mut vector, own(), &classes()), ["loss", "accuracy"]);
    let plain = names(&mut vector, Loss::cross_entropy(), &classes());
    assert_eq!(plain, ["loss", "accuracy"]);
}

/// A target for each example may come without the axis of the one output.
#[test]
fn accuracy_takes_the_targets_that_the_loss_takes() {
    let yes = Tensor::new(&[0f32, 1.0, 0.0, 1.0], &candle_core::Device::Cpu).unwrap();
    let data = TensorDataset::values(noise((4, 4), 1), yes).unwrap();
    let found = names(&mut built(linear(1)), Loss::binary_cross_entropy(), &data);
    assert_eq!(found, ["loss", "accuracy"]);
}

#[test]
fn accuracy_of_a_map_is_refused_with_what_to_do() {
    let (mut model, data) = map();
    let mut trainer = Trainer::new(&mut model)
        .loss(Loss::binary_cross_entropy())
        .metrics([Metric::Accuracy]);
    let error = trainer.fit_without_validation(&data).unwrap_err();
    assert!(error.to_string().contains("Trainer::metrics"), "{error}");
}

#[test]
fn ambiguous_names_of_metrics_are_refused() {
    let data = TensorDataset::new(noise((4, 4), 1), vec![0, 1, 0, 1]).unwrap();
    let own = |name: &str| Metric::custom(name, |_, _| Ok(0.0));
    let run = |metrics: Vec<Metric>| {
        let mut model = built(linear(2));
        let mut trainer = Trainer::new(&mut model).metrics(metrics);
        trainer.fit_without_validation(&data)
    };
    run(vec![own("a b"), own("lossy"), Metric::Accuracy]).unwrap();
    for metrics in [
        vec![own("")],
        vec![own("a,b")],
        vec![own("a\nb")],
        vec![own("a\"b")],
        vec![own("loss")],
        vec![own("learning_rate")],
        vec![own("epoch")],
        vec![own("val_loss")],
        vec![own("accuracy"), Metric::Accuracy],
    ] {
        let error = run(metrics).unwrap_err();
        let is_setting = matches!(error, Error::InvalidSetting { .. });
        assert!(is_setting, "{error}");
    }
}
