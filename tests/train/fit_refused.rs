//! What training refuses, and what it leaves then.

use std::sync::atomic::{AtomicUsize, Ordering};

use vgg_surgery::error::TrainingError;
use vgg_surgery::optim::Clip;
use vgg_surgery::train::ParameterGroup;
use vgg_surgery::{Error, Loss, Sgd, TensorDataset, Trainer};

use crate::fit::linear;
use crate::{built, graph, noise, two_kinds, weights};

fn fails(model: &mut vgg_surgery::Model, data: &TensorDataset) -> TrainingError {
    match Trainer::new(model).fit_without_validation(data) {
        Err(Error::Training(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_can_not_be_trained_is_refused() {
    let data = two_kinds(4, 8, 1);
    let mut frozen = built(graph().freeze_all());
    let error = fails(&mut frozen, &data);
    assert!(matches!(error, TrainingError::NothingToTrain), "{error}");

    let x = noise((4, 3, 8, 8), 1);
    let beyond = TensorDataset::new(x, vec![0, 1, 2, 1]).unwrap();
    let mut model = built(graph());
    let error = Trainer::new(&mut model).fit_without_validation(&beyond);
    assert!(matches!(
        error,
        Err(Error::ClassOutOfRange {
            example: Some(2),
            class: 2,
            classes: 2,
        })
    ));
}

#[test]
fn settings_are_checked() {
    let data = two_kinds(4, 8, 1);
    type Change = fn(Trainer<'_>) -> Trainer<'_>;
    let changes: [Change; 5] = [
        |trainer| trainer.batch_size(0),
        |trainer| trainer.learning_rate(f64::NAN),
        |trainer| trainer.layer_decay(-1.0),
        |trainer| trainer.clip(Clip::Norm(0.0)),
        |trainer| {
            let group = ParameterGroup::new().scale(-1.0);
            trainer.group("head_out", group).unwrap()
        },
    ];
    for change in changes {
        let mut model = built(graph());
        let mut trainer = change(Trainer::new(&mut model));
        let error = trainer.fit_without_validation(&data).unwrap_err();
        let is_setting = matches!(error, Error::InvalidSetting { .. });
        assert!(is_setting, "{error}");
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_training_with_the_weights_as_they_were() {
    let mut model = built(linear(2));
    let before = weights(&model);
    let calls = AtomicUsize::new(0);
    let loss = Loss::custom(move |scores, _| {
        let sum = scores.sum_all()?;
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Ok((sum * f64::NAN)?),
            _ => Ok(sum),
        }
    });
    let data = TensorDataset::new(noise((4, 4), 1), vec![0, 1, 0, 1]).unwrap();
    let mut trainer = Trainer::new(&mut model).loss(loss);
    let error = trainer.fit_without_validation(&data).unwrap_err();
    let Error::Training(TrainingError::NonFiniteLoss { epoch, batch, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!((epoch, batch), (1, 1));
    assert_eq!(weights(&model), before);
}

#[test]
fn a_search_for_a_rate_leaves_the_model_as_it_was() {
    let mut model = built(graph());
    let before = weights(&model);
    let data = two_kinds(16, 8, 1);
    let trainer = Trainer::new(&mut model).batch_size(8);
    let search = trainer.find_learning_rate(&data).unwrap();
    assert_eq!(search.rates[0], 1e-7);
    assert!(search.rates.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(search.losses.iter().all(|loss| loss.is_finite()));
    let best = search.suggested().unwrap();
    assert!(
        best >= search.rates[10],
        "the first averages contain few losses"
    );
    assert!((1e-5..1.0).contains(&best), "{best}");
    assert_eq!(weights(&model), before);
    let trainer = Trainer::new(&mut model).optimizer(Sgd::new(0.0));
    let error = trainer.find_learning_rate(&data).unwrap_err();
    assert!(
        error.to_string().contains("give the optimizer another"),
        "{error}"
    );
}

/// Four times a negative loss is below it.
#[test]
fn a_search_goes_on_where_the_loss_is_negative() {
    let mut model = built(graph());
    let loss = Loss::custom(|scores, _| Ok(((scores.mean_all()? * 0.0)? - 1.0)?));
    let trainer = Trainer::new(&mut model).loss(loss);
    let search = trainer.find_learning_rate(&two_kinds(4, 8, 1)).unwrap();
    assert_eq!(search.rates.len(), 100);
}
