//! Which callbacks learn that a `fit` is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::json;
use vgg_surgery::data::FnDataset;
use vgg_surgery::error::{DataError, TrainingError};
use vgg_surgery::train::{
    Callback, CallbackState, ControlFlow, EndEvent, EpochEvent, StartEvent, StopReason,
};
use vgg_surgery::{Dataset, EarlyStopping, Error, Result, Trainer};

use crate::{built, graph, two_kinds};

type Told = Arc<Mutex<Vec<(&'static str, StopReason)>>>;

/// Records how training ended, and fails at a given event.
struct Witness {
    name: &'static str,
    told: Told,
    fails_at: Option<&'static str>,
}

impl Witness {
    fn new(name: &'static str, told: &Told) -> Self {
        Self {
            name,
            told: told.clone(),
            fails_at: None,
        }
    }

    fn failing_at(mut self, place: &'static str) -> Self {
        self.fails_at = Some(place);
        self
    }

    fn outcome(&self, place: &'static str) -> Result<()> {
        if self.fails_at == Some(place) {
            return Err(TrainingError::User(self.name.into()).into());
        }
        Ok(())
    }
}

impl Callback for Witness {
    fn on_start(&mut self, _: &StartEvent<'_>) -> Result<()> {
        self.outcome("start")
    }

    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        self.told
            .lock()
            .unwrap()
            .push((self.name, event.history.ended.clone()));
        self.outcome("end")
    }
}

fn run(witnesses: [Witness; 3], stopped_into: Option<&Path>) -> Error {
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model);
    for witness in witnesses {
        trainer = trainer.callback(witness);
    }
    if let Some(path) = stopped_into {
        let flag = Arc::new(AtomicBool::new(true));
        trainer = trainer.stop_flag(flag).checkpoint_on_stop(path);
    }
    let outcome = trainer.fit_without_validation(&two_kinds(4, 8, 1));
    outcome.unwrap_err()
}

#[test]
fn all_callbacks_get_the_end_and_the_first_error_is_returned() {
    let told = Told::default();
    let error = run(
        [
            Witness::new("a", &told),
            Witness::new("b", &told).failing_at("end"),
            Witness::new("c", &told).failing_at("end"),
        ],
        None,
    );
    assert_eq!(error.to_string(), "b");
    let all = ["a", "b", "c"].map(|name| (name, StopReason::Completed));
    assert_eq!(*told.lock().unwrap(), all);
}

#[test]
fn all_callbacks_get_the_end_although_the_checkpoint_can_not_be_written() {
    let told = Told::default();
    let witnesses = ["a", "b", "c"].map(|name| Witness::new(name, &told));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = run(witnesses, Some(&file.path().join("run")));
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let all = ["a", "b", "c"].map(|name| (name, StopReason::Interrupted));
    assert_eq!(*told.lock().unwrap(), all);
}

#[test]
fn callbacks_that_started_get_the_end_if_another_fails_to_start() {
    let told = Told::default();
    let error = run(
        [
            Witness::new("a", &told),
            Witness::new("b", &told).failing_at("start"),
            Witness::new("c", &told),
        ],
        None,
    );
    assert_eq!(error.to_string(), "b");
    assert_eq!(*told.lock().unwrap(), [("a", StopReason::Failed)]);
}

/// The thread that loads batches died with a message of its own.
#[test]
fn a_panic_in_a_data_set_is_the_error() {
    let good = two_kinds(8, 8, 1);
    let data = FnDataset::new(8, move |index| match index {
        5 => panic!("no file {index}"),
        _ => good.sample(index),
    });
    let data = data.with_version(1);
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).epochs(1);
    let error = trainer.fit_without_validation(&data).unwrap_err();
    assert!(
        matches!(&error, Error::Data(DataError::Panicked { index: 5, message })
            if message == "no file 5"),
        "{error}"
    );
    assert_eq!(trainer.history().ended, StopReason::Failed);
}

#[test]
fn after_a_panic_the_history_says_failed() {
    let mut model = built(graph());
    let callback = |_: &mut EpochEvent<'_>| -> Result<ControlFlow> { panic!("on purpose") };
    let mut trainer = Trainer::new(&mut model).epochs(1).callback(callback);
    let data = two_kinds(8, 8, 1);
    let fit = AssertUnwindSafe(|| trainer.fit_without_validation(&data));
    let panic = catch_unwind(fit).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    assert_eq!(trainer.history().ended, StopReason::Failed);
}

/// Counting on from the largest number panicked.
#[test]
fn a_checkpoint_may_have_waited_for_any_number_of_epochs() {
    let values = json!({ "best": -1.0, "epochs": u64::MAX });
    let mut stopping = EarlyStopping::new(3).monitor("loss").keep_last();
    let state = CallbackState {
        values,
        ..CallbackState::default()
    };
    stopping.restore(state).unwrap();
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model).epochs(2).callback(stopping);
    let history = trainer.fit_without_validation(&two_kinds(8, 8, 1)).unwrap();
    assert_eq!(history.epochs.len(), 1);
}
