//! Writers that are killed at random moments.

use std::fs;
use std::hint::spin_loop;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::Rng;
use vgg_surgery::train::{ControlFlow, EpochEvent};
use vgg_surgery::{Error, Model, Result};

use crate::child::{Process, announce, cases, job, random, wait_for};
use crate::small;
use crate::writers::{self, WRITERS, Writer};

const TEST: &str = "kill::a_killed_writer_leaves_the_old_file_or_the_new_one";

/// A file is written over and over again, in one version or the other.
fn write_for_ever(writer: &Writer, folder: &Path) {
    let material = writers::Material::new(folder);
    for version in 0.. {
        announce("begins");
        (writer.write)(&material, version % 2, &folder.join(writer.file)).unwrap();
    }
}

/// Runs a child until it announced something often enough and some time more. False
/// if it ended before.
fn killed(process: Process<'_>, what: &str, moment: (usize, Duration)) -> bool {
    let mut child = process.start();
    let began = wait_for(&mut child, what, moment.0);
    let now = Instant::now();
    while now.elapsed() < moment.1 {
        spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    began
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_killed_writer_leaves_the_old_file_or_the_new_one() {
    if let Some((job, folder)) = job() {
        let writer = WRITERS.iter().find(|writer| writer.file == job).unwrap();
        return write_for_ever(writer, &folder);
    }
    let every = |case| WRITERS.iter().map(move |writer| (writer, case));
    for (writer, case) in (0..cases(60)).flat_map(every) {
        let mut random = random(writer.file, case);
        let folder = tempfile::tempdir().unwrap();
        let moment = (
            random.random_range(1..5),
            Duration::from_micros(random.random_range(0..3000)),
        );
        let process = Process::new(TEST, writer.file, folder.path());
        assert!(killed(process, "begins", moment), "{}", writer.file);
        let path = folder.path().join(writer.file);
        let found = fs::read(&path).ok();
        let material = writers::Material::new(folder.path());
        let versions = [0, 1].map(|version| {
            (writer.write)(&material, version, &path).unwrap();
            fs::read(&path).unwrap()
        });
        let mut expected = vec!["base.safetensors", writer.file];
        expected.sort();
        assert_eq!(names(folder.path()), expected, "after {moment:?}");
        let whole = found.as_ref().is_none_or(|found| versions.contains(found));
        assert!(whole, "{} after {moment:?}", writer.file);
        let was_written = moment.0 == 1 || found.is_some();
        assert!(was_written, "{} was written", writer.file);
    }
}

/// Trains to the end, from the checkpoint if there is one.
fn train(folder: &Path) -> Result<Model> {
    let mut model = small::built(&small::graph(None));
    let checkpoint = folder.join("run.safetensors");
    let exists = checkpoint.exists();
    let mut trainer = small::trainer(&mut model, folder).callback(|_: &mut EpochEvent<'_>| {
        announce("epoch");
        Ok::<_, Error>(ControlFlow::Continue)
    });
    if exists {
        trainer = trainer.resume(&checkpoint)?;
    }
    trainer.fit_without_validation(&small::data())?;
    Ok(model)
}

fn epochs(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split(',').next().unwrap().to_string())
        .collect()
}

#[test]
fn a_killed_training_goes_on_bit_for_bit() {
    if let Some((_, folder)) = job() {
        let _ = train(&folder).unwrap();
        return;
    }
    let whole = tempfile::tempdir().unwrap();
    let expected = small::weights(&train(whole.path()).unwrap());
    let every: Vec<String> = (1..=small::EPOCHS).map(|epoch| epoch.to_string()).collect();
    for case in 0..cases(60) / 4 {
        let folder = tempfile::tempdir().unwrap();
        let mut random = random("training", case);
        for _ in 0..random.random_range(1..4) {
            let moment = (
                random.random_range(1..5),
                Duration::from_micros(random.random_range(0..4000)),
            );
            let test = "kill::a_killed_training_goes_on_bit_for_bit";
            killed(Process::new(test, "fit", folder.path()), "epoch", moment);
        }
        let model = train(folder.path()).unwrap();
        assert!(small::weights(&model) == expected, "case {case}");
        assert_eq!(epochs(&folder.path().join("log.csv")), every, "case {case}");
        assert_eq!(names(folder.path()), ["log.csv", "run.safetensors"]);
    }
}

#[cfg(feature = "hub")]
mod hub {
    use std::path::PathBuf;

    use super::*;
    use crate::cache::Rig;

    const TEST: &str = "kill::hub::a_killed_download_is_fetched_again";

    fn left(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => left(&entry.path(), found),
                false
                    if entry
                        .path()
                        .extension()
                        .is_some_and(|ending| ending == "tmp") =>
                {
                    found.push(entry.path());
                }
                false => {}
            }
        }
    }

    #[test]
    fn a_killed_download_is_fetched_again() {
        if let Some((_, home)) = job() {
            announce("begins");
            let _ = Rig::child(&home).unwrap();
            return;
        }
        let expected = Rig::start().build().unwrap();
        for case in 0..cases(60) / 4 {
            let rig = Rig::start();
            let mut random = random("hub", case);
            let moment = (1, Duration::from_micros(random.random_range(0..60_000)));
            let process = Process::new(TEST, "hub", rig.home());
            killed(rig.known_to(process), "begins", moment);
            let model = rig.build().unwrap();
            assert!(
                small::weights(&model) == small::weights(&expected),
                "{moment:?}"
            );
            rig.hub.take_sent();
            assert!(small::weights(&rig.build().unwrap()) == small::weights(&expected));
            assert!(rig.hub.take_sent() < 1000, "all is in the cache");
            let mut remains = Vec::new();
            left(rig.home(), &mut remains);
            assert!(remains.len() <= 1, "{remains:?}");
        }
    }
}
