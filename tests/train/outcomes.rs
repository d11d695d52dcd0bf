//! What a history says about the end of a training.

use std::sync::{Arc, Mutex};

use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{Callback, ControlFlow, EndEvent, EpochEvent, StopReason};
use vgg_surgery::{EarlyStopping, Error, History, Result, Sgd, TensorDataset, Trainer};

use crate::callbacks::{one_weight, weight};
use crate::{built, graph, noise, stopped_by, two_kinds};

struct Generic<T>(T);

impl<T: Send> Callback for Generic<T> {
    fn on_epoch(&mut self, _: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        Ok(ControlFlow::Stop)
    }
}

#[test]
fn a_callback_is_named_after_its_type() {
    assert_eq!(EarlyStopping::new(1).name(), "EarlyStopping");
    assert_eq!(Generic(vec!["std::string"]).name(), "Generic");
    let closure = |_: &mut EpochEvent<'_>| Ok(ControlFlow::Stop);
    assert_eq!(Callback::name(&closure), "closure");
}

#[test]
fn the_first_callback_that_stops_is_named() {
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let history = Trainer::new(&mut model)
        .epochs(3)
        .callback(|_: &mut EpochEvent<'_>| Ok(ControlFlow::Continue))
        .callback(Generic(0))
        .callback(|_: &mut EpochEvent<'_>| Ok(ControlFlow::Stop))
        .fit(&data, &data)
        .unwrap();
    assert_eq!(history.ended, stopped_by("Generic"));
    let last = history.to_string().lines().nth(2).unwrap().to_string();
    assert_eq!(last, "stopped by Generic after epoch 1");
}

/// Notes the restored epoch at the event, and after all callbacks got it.
struct Early(Arc<Mutex<Vec<Option<u64>>>>);

impl Callback for Early {
    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        let notes = self.0.clone();
        notes.lock().unwrap().push(event.history.restored_epoch);
        event.afterwards(move |history| notes.lock().unwrap().push(history.restored_epoch));
        Ok(())
    }
}

/// The loss falls by one in each epoch, so the last one is best.
#[test]
fn the_restored_epoch_reaches_callbacks_files_and_the_model() {
    let (mut model, data) = one_weight();
    let notes = Arc::default();
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(vgg_surgery::Loss::custom(
            |scores, _| Ok(scores.mean_all()?),
        ))
        .metrics([])
        .epochs(3)
        .callback(Early(Arc::clone(&notes)))
        .callback(EarlyStopping::new(2));
    let history = trainer.fit(&data, &data).unwrap();
    assert_eq!(*notes.lock().unwrap(), [None, Some(3)]);
    assert_eq!(history.ended, StopReason::Completed);
    let text = history.to_string();
    assert!(text.ends_with("\nthe weights are from epoch 3"), "{text}");
    let again: History = serde_json::from_str(&history.to_json()).unwrap();
    assert_eq!(again, history);
    assert_eq!(weight(trainer.model()), -2.0);
    drop(trainer);
    assert_eq!(History::of(&model), Some(history));
}

/// As an earlier version of this crate wrote it.
#[test]
fn a_history_without_the_name_of_the_callback_is_read() {
    let text = r#"{"epochs": [], "ended": "stopped", "findings": [], "cache": null}"#;
    let history: History = serde_json::from_str(text).unwrap();
    assert_eq!(history.ended, stopped_by("a callback"));
    assert_eq!(history.restored_epoch, None);
    let completed: History = serde_json::from_str(&text.replace("stopped", "completed")).unwrap();
    assert_eq!(completed.ended, StopReason::Completed);
    assert!(serde_json::from_str::<History>(&text.replace("stopped", "lost")).is_err());
}

#[test]
fn a_validation_metric_without_validation_is_refused_with_what_to_do() {
    let data = TensorDataset::new(noise((4, 3, 8, 8), 1), [0, 1, 0, 1]).unwrap();
    let message = |monitored: &str| {
        let mut model = built(graph());
        let callback = EarlyStopping::new(1).monitor(monitored);
        let outcome = Trainer::new(&mut model)
            .callback(callback)
            .fit_without_validation(&data);
        match outcome {
            Err(Error::Training(error @ TrainingError::UnknownMetric { .. })) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        message("val_accuracy"),
        "no epoch reports \"val_accuracy\"; there are no validation data: give them to \
         Trainer::fit, or monitor \"accuracy\""
    );
    assert!(message("val_f1").ends_with("or monitor \"loss\""));
    assert!(message("f1").ends_with("there is loss, accuracy"));
}
