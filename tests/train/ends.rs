//! Which callbacks learn that a `fit` is over.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use vgg_surgery::error::TrainingError;
use vgg_surgery::train::{Callback, EndEvent, StartEvent, StopReason};
use vgg_surgery::{Error, Result, Trainer};

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
