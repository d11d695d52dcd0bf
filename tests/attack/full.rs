//! Disks without room, by a limit on the size of files: it works for every user. A full
//! file system itself needs one that is small, which `.ci/small-disk` mounts.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use vgg_surgery::Error;

use crate::child::{Process, job};
use crate::small;
use crate::writers::{Material, WRITERS};

/// Blocks of 512 bytes.
const LIMITS: [&str; 3] = ["0", "2", "5"];

fn assert_only(folder: &Path, expected: &[&str]) {
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(expected.contains(&name.as_str()), "{name} is left");
    }
}

/// Writes new versions over old ones. Nothing fits if the limit is 0.
fn write_all(limit: &str, folder: &Path) {
    let material = Material::new(folder);
    let expected: Vec<&str> = WRITERS.iter().map(|writer| writer.file).collect();
    let expected = [&expected[..], &["base.safetensors"]].concat();
    for writer in WRITERS {
        let path = folder.join(writer.file);
        let old = fs::read(&path).unwrap();
        match (writer.write)(&material, 1, &path) {
            Ok(()) => {
                assert_ne!(limit, "0", "{} was written", writer.file);
                assert!(fs::read(&path).unwrap() != old, "{}", writer.file);
            }
            Err(Error::Io { .. }) => {
                assert!(fs::read(&path).unwrap() == old, "{} changed", writer.file);
            }
            Err(other) => panic!("{}: {other}", writer.file),
        }
        assert_only(folder, &expected);
    }
}

#[test]
fn a_full_disk_leaves_the_old_files_and_nothing_else() {
    if let Some((limit, folder)) = job() {
        return write_all(&limit, &folder);
    }
    for limit in LIMITS {
        let folder = tempfile::tempdir().unwrap();
        let material = Material::new(folder.path());
        for writer in WRITERS {
            (writer.write)(&material, 0, &folder.path().join(writer.file)).unwrap();
        }
        let test = "full::a_full_disk_leaves_the_old_files_and_nothing_else";
        Process::new(test, limit, folder.path())
            .file_blocks(limit.parse().unwrap())
            .run();
    }
}

/// A file that takes all bytes of a file system but a few.
fn fill(disk: &Path, room: u64) -> File {
    let mut file = tempfile::tempfile_in(disk).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let length = file.metadata().unwrap().len();
    file.set_len(length - room).unwrap();
    file
}

#[test]
#[ignore = "needs a small file system: .ci/attack full"]
fn a_full_file_system_leaves_the_old_files_and_nothing_else() {
    let disk = std::env::var_os("VGG_SURGERY_SMALL_DISK").expect("a folder on a small disk");
    let folder = tempfile::tempdir_in(&disk).unwrap();
    let material = Material::new(folder.path());
    for room in [0, 2, 5].map(|pages| pages * 4096) {
        for writer in WRITERS {
            (writer.write)(&material, 0, &folder.path().join(writer.file)).unwrap();
        }
        let _full = fill(Path::new(&disk), room);
        write_all(&room.to_string(), folder.path());
    }
}

/// The log is the first file that a training writes.
#[test]
fn a_training_on_a_full_disk_ends_with_an_error_and_keeps_its_checkpoint() {
    let train = |folder: &Path, epochs| {
        let mut model = small::built(&small::graph(None));
        let mut trainer = small::trainer(&mut model, folder);
        trainer.set_epochs(epochs);
        let checkpoint = folder.join("run.safetensors");
        if checkpoint.exists() {
            trainer = trainer.resume(checkpoint).unwrap();
        }
        trainer.fit_without_validation(&small::data())
    };
    if let Some((_, folder)) = job() {
        let error = train(&folder, 4).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_only(&folder, &["log.csv", "run.safetensors"]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), 2).unwrap();
    let before = fs::read(folder.path().join("run.safetensors")).unwrap();
    let test = "full::a_training_on_a_full_disk_ends_with_an_error_and_keeps_its_checkpoint";
    Process::new(test, "fit", folder.path())
        .file_blocks(0)
        .run();
    assert!(fs::read(folder.path().join("run.safetensors")).unwrap() == before);
    assert_eq!(train(folder.path(), 4).unwrap().epochs.len(), 4);
}

/// The next build fetches again.
#[cfg(feature = "hub")]
#[test]
fn a_full_cache_is_done_without() {
    use crate::cache::Rig;
    if let Some((_, home)) = job() {
        let _ = Rig::child(&home).unwrap();
        return;
    }
    let rig = Rig::start();
    let process = Process::new("full::a_full_cache_is_done_without", "hub", rig.home());
    rig.known_to(process.file_blocks(0)).run();
    rig.hub.take_sent();
    let model = rig.build().unwrap();
    assert!(rig.hub.take_sent() > 100_000, "nothing was kept");
    let expected = Rig::start().build().unwrap();
    assert!(small::weights(&model) == small::weights(&expected));
}
