use std::fs;
use std::path::Path;

use vgg_surgery::train::{ControlFlow, EpochEvent};
use vgg_surgery::{Error, History, PrintLog, Result, Trainer};

use crate::{built, graph, stopped_by, two_kinds};

/// A hard link to the old file shows whether it was replaced or overwritten. A
/// reader must see either the whole old file or the whole new one.
#[test]
fn a_saved_history_replaces_the_old_file_whole() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let history = Trainer::new(&mut model).fit(&data, &data).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let replaces = |name: &str, save: &dyn Fn(&History, &Path) -> Result<()>| {
        let (file, second_name) = (folder.path().join(name), folder.path().join("old"));
        fs::write(&file, "old").unwrap();
        fs::hard_link(&file, &second_name).unwrap();
        save(&history, &file).unwrap();
        assert_eq!(fs::read(&second_name).unwrap(), b"old", "{name}");
        assert_ne!(fs::read(&file).unwrap(), b"old", "{name}");
        fs::remove_file(&file).unwrap();
        fs::remove_file(&second_name).unwrap();
        // A folder can't be made where a file is.
        fs::write(&file, "old").unwrap();
        let error = save(&history, &file.join(name)).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
    };
    replaces("history.csv", &|history, path| history.save_csv(path));
    replaces("history.json", &|history, path| history.save_json(path));
    replaces("history.svg", &|history, path| history.save_plot(path));
}

#[test]
fn a_history_prints_and_saves() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let history = Trainer::new(&mut model)
        .epochs(2)
        .fit(&data, &data)
        .unwrap();
    let table = history.to_string();
    assert_eq!(
        table
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>(),
        [
            "epoch",
            "rate",
            "seconds",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy"
        ]
    );
    assert!(
        table.contains("\"block2_pool\" was cached for 8 examples: 1.0 KB in memory, 0 B in"),
        "{table}"
    );
    let file = folder.path().join("history.json");
    history.save_json(&file).unwrap();
    let json = fs::read_to_string(&file).unwrap();
    let again: History = serde_json::from_str(&json).unwrap();
    assert_eq!(again.curve("val_accuracy"), history.curve("val_accuracy"));
    history.save_csv(folder.path().join("history.csv")).unwrap();
    assert_eq!(history.to_csv().lines().count(), 3);
}

#[test]
fn the_best_epoch_has_the_lowest_loss_or_the_highest_score() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let history = Trainer::new(&mut model)
        .epochs(3)
        .fit(&data, &data)
        .unwrap();
    let best = |name: &str| history.best_epoch(name).unwrap().get(name).unwrap();
    let all = |name: &str| history.curve(name).into_iter();
    assert_eq!(
        best("val_loss"),
        all("val_loss").fold(f64::INFINITY, f64::min)
    );
    assert_eq!(
        best("val_accuracy"),
        all("val_accuracy").fold(0.0, f64::max)
    );
    assert!(history.best_epoch("val_f1").is_none());
}

#[test]
fn a_closure_is_a_callback() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let stop_at_two = |event: &mut EpochEvent<'_>| {
        let is_over = event.record.epoch == 2;
        Ok(if is_over {
            ControlFlow::Stop
        } else {
            ControlFlow::Continue
        })
    };
    let trainer = Trainer::new(&mut model).epochs(9).callback(stop_at_two);
    let history = trainer.callback(PrintLog::new()).fit(&data, &data).unwrap();
    assert_eq!(history.epochs.len(), 2);
    assert_eq!(history.ended, stopped_by("closure"));
}
