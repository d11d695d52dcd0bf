//! `fixtures/training/version_1.safetensors`: a checkpoint that version 1 of the
//! format wrote in the third epoch of the training below.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{Schedule, StopReason};
use vgg_surgery::{
    Adam, Dense, EarlyStopping, Error, Graph, Head, History, Loss, Metric, Model, Result,
    TensorDataset, Trainer,
};

use crate::{assert_near, built, fixture, values};

fn file() -> PathBuf {
    fixture("training/version_1.safetensors")
}

fn model() -> Model {
    let head = Head::new()
        .dense("hidden", Dense::new(3).relu())
        .dropout("dropout", 0.25)
        .dense("out", Dense::new(1).sigmoid());
    built(Graph::new("small", 2).unwrap().attach(head).unwrap())
}

fn trainer(model: &mut Model) -> Trainer<'_> {
    Trainer::new(model)
        .optimizer(Adam::new(0.01))
        .schedule(Schedule::reduce_on_plateau(0.5, 1))
        .loss(Loss::binary_cross_entropy())
        .metrics([Metric::Accuracy, Metric::Precision])
        .batch_size(4)
        .seed(11)
        .epochs(4)
        .callback(EarlyStopping::new(10))
}

fn fit(mut trainer: Trainer<'_>) -> History {
    let x: Vec<f32> = (0..16).map(|i| (i * 7 % 16) as f32 / 16.0 - 0.5).collect();
    let x = Tensor::from_vec(x, (8, 2), &Device::Cpu).unwrap();
    let data = TensorDataset::new(x, [0, 1, 0, 1, 0, 1, 1, 0]).unwrap();
    trainer.fit(&data, &data).unwrap()
}

fn parameters(model: &Model) -> Vec<f64> {
    let parameters = model.parameters();
    parameters.flat_map(|p| values(p.tensor)).collect()
}

/// Another machine may round differently than the one that wrote the file.
#[test]
fn a_checkpoint_of_version_1_is_resumed() {
    let (mut whole, mut resumed) = (model(), model());
    let expected = fit(trainer(&mut whole));
    let history = fit(trainer(&mut resumed).resume(file()).unwrap());
    assert_eq!(history.ended, StopReason::Completed);
    assert_eq!(history.epochs.len(), 4);
    for name in ["loss", "accuracy", "precision", "val_loss", "learning_rate"] {
        let (actual, expected) = (history.curve(name), expected.curve(name));
        assert_near(&actual, &expected, 1e-5, name);
    }
    assert_near(&parameters(&resumed), &parameters(&whole), 1e-5, "weights");
}

#[test]
fn weights_are_loaded_from_a_checkpoint_of_version_1() {
    let mut loaded = model();
    loaded.load_weights(file()).unwrap();
    let saved = candle_core::safetensors::load(file(), &Device::Cpu).unwrap();
    let names = ["hidden.weight", "hidden.bias", "out.weight", "out.bias"];
    let saved = names.map(|name| values(&saved[&format!("model.{name}")]));
    assert_eq!(parameters(&loaded), saved.concat());
    assert_ne!(parameters(&loaded), parameters(&model()));
}

fn with_version(from: &str, to: &str, path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let [from, to] = [from, to].map(|version| format!(r#"\"version\":{version}"#));
    let mut windows = bytes.windows(from.len());
    let start = windows
        .position(|window| window == from.as_bytes())
        .unwrap();
    bytes[start..start + from.len()].copy_from_slice(to.as_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut model = model();
    trainer(&mut model).save_checkpoint(&path).unwrap();
    with_version("2", "3", &path);
    let refused = |result: Result<()>| match result {
        Err(Error::Training(TrainingError::Checkpoint { reason, .. })) => reason,
        other => panic!("{other:?}"),
    };
    let reason = "it was written by another version of this crate";
    assert_eq!(refused(model.load_weights(&path)), reason);
    assert_eq!(
        refused(trainer(&mut model).resume(&path).map(|_| ())),
        reason
    );
    with_version("3", "2", &path);
    model.load_weights(&path).unwrap();
}
