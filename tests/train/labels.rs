//! From images with several labels to predictions.

use candle_core::Tensor;
use vgg_surgery::train::Finding;
use vgg_surgery::{
    Adam, Dataset, Dense, Graph, Head, Labels, Loss, Metric, Model, TensorDataset, Trainer,
};

use crate::{built, noise};

fn network(out: Dense) -> Model {
    let head = Head::new().flatten("flat").dense("out", out);
    built(Graph::new("g", (3, 2, 2)).unwrap().attach(head).unwrap())
}

/// A label for each channel, there if the channel's first pixel is above 0.
fn data() -> TensorDataset {
    let x = noise((40, 3, 2, 2), 3);
    let first = x.narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
    let rows = first.reshape((40, 3)).unwrap().gt(0.0).unwrap();
    let data = TensorDataset::multi_label(x, rows).unwrap();
    data.with_classes(Labels::new(["red", "green", "blue"]))
        .unwrap()
}

#[test]
fn only_the_loss_needs_to_be_set() {
    let mut model = network(Dense::new(3).sigmoid());
    let (train, test) = data().split(0.75, 1).unwrap();
    let mut trainer = Trainer::new(&mut model)
        .loss(Loss::binary_cross_entropy())
        .optimizer(Adam::new(0.1))
        .epochs(40);
    assert_eq!(trainer.check(&train).unwrap(), []);
    let history = trainer.fit(&train, &test).unwrap();
    assert_eq!(history.curve("val_accuracy").len(), 40);
    let accuracy = history.curve("accuracy");
    assert!(
        accuracy.last().is_some_and(|&last| last > 0.9),
        "{accuracy:?}"
    );
    let names = Labels::new(["red", "green", "blue"]);
    assert_eq!(model.labels(), Some(&names));
    let trainer = Trainer::new(&mut model).loss(Loss::binary_cross_entropy());
    let metrics = [Metric::MicroF1, Metric::ExactMatch, Metric::Confusion];
    let found = trainer.metrics(metrics).evaluate(&test).unwrap();
    assert_eq!(found.label_confusions.len(), 3);
}

#[test]
fn the_loss_of_one_class_is_refused_for_several_labels() {
    for out in [Dense::new(3).softmax(), Dense::new(3).sigmoid()] {
        let mut model = network(out);
        let mut trainer = Trainer::new(&mut model);
        let found = trainer.check(&data()).unwrap();
        let reason = trainer.evaluate(&data()).unwrap_err().to_string();
        assert!(reason.contains("Loss::binary_cross_entropy()"), "{reason}");
        let error = trainer.fit_without_validation(&data()).unwrap_err();
        assert_eq!(error.to_string(), reason);
        assert_eq!(found[0], Finding::Refused { reason });
    }
}

#[test]
fn a_single_label_is_a_data_set_too() {
    let x = noise((8, 3, 2, 2), 3);
    let rows = Tensor::new(&[1u8, 0, 1, 1, 0, 0, 1, 0], x.device()).unwrap();
    let data = TensorDataset::multi_label(x, rows.unsqueeze(1).unwrap());
    let data = data.unwrap().with_classes(Labels::new(["cat"])).unwrap();
    let mut model = network(Dense::new(1).sigmoid());
    let mut trainer = Trainer::new(&mut model).loss(Loss::binary_cross_entropy());
    assert_eq!(trainer.check(&data).unwrap(), []);
    trainer.fit(&data, &data).unwrap();
    assert_eq!(model.labels(), Some(&Labels::new(["cat"])));
}
