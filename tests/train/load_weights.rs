use candle_core::Device;
use vgg_surgery::error::{FileError, TrainingError};
use vgg_surgery::train::Checkpoint;
use vgg_surgery::{Error, Loss, Metric, Model, Sgd, Trainer};

use crate::callbacks::{one_weight, weight};
use crate::{built, graph, two_kinds, weights};

/// The loss `w` falls by 1 an epoch, and is nearest to -2 in the third.
#[test]
fn the_best_weights_come_out_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("best.safetensors");
    let (mut model, data) = one_weight();
    Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::custom(|scores, _| Ok(scores.mean_all()?)))
        .metrics([Metric::custom("distance_error", |scores, _| {
            Ok((f64::from(scores.mean_all()?.to_scalar::<f32>()?) + 2.0).abs())
        })])
        .epochs(5)
        .callback(Checkpoint::new(&file).best("val_distance_error"))
        .fit(&data, &data)
        .unwrap();
    assert_eq!(weight(&model), -4.0);
    model.load_weights(&file).unwrap();
    assert_eq!(weight(&model), -2.0);
}

#[test]
fn loaded_weights_include_the_saved_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let mut trained = built(graph());
    let mut trainer = Trainer::new(&mut trained).batch_size(4);
    trainer.fit_without_validation(&two_kinds(8, 8, 1)).unwrap();
    trainer.save_checkpoint(&file).unwrap();
    let mut model = built(graph());
    assert_ne!(weights(&model), weights(&trained));
    model.load_weights(&file).unwrap();
    assert_eq!(weights(&model), weights(&trained));
}

#[test]
fn weights_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let mut model = built(graph());
    Trainer::new(&mut model).save_checkpoint(&file).unwrap();
    let mut other = built(graph().unfreeze("block2_conv2").unwrap());
    let before = weights(&other);
    let error = other.load_weights(&file).unwrap_err();
    let Error::Training(TrainingError::Checkpoint { reason, .. }) = error else {
        panic!("{error}");
    };
    assert!(reason.contains("another network"), "{reason}");
    assert_eq!(weights(&other), before);
    assert!(matches!(
        other.load_weights(folder.path().join("none")),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_checkpoint_taken_for_a_model_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let mut model = built(graph());
    Trainer::new(&mut model).save_checkpoint(&file).unwrap();
    let error = Model::load(&file, &Device::Cpu).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::Checkpoint { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("Model::load_weights"), "{error}");
}
