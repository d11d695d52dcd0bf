//! What other processes, full disks and hostile files do to the caches.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{HubOptions, Progress, ReadOptions};
use super::hub::{FILE, MOST, P, REPOSITORY, Rig, T, is_file, sha256};
use super::local_hub::{Behavior, COMMIT};
use super::{endless, load_plain};
use crate::error::{Error, FileError, Result};
use crate::graph::WeightSet;

/// Where the lock of the file's tensors is.
fn own_lock(rig: &Rig) -> PathBuf {
    let repository = "vgg-surgery/models--timm--vgg16.tv_in1k";
    let folder = rig.home.path().join(repository);
    folder.join(COMMIT).join(FILE).join("lock")
}

fn shared_lock(rig: &Rig) -> PathBuf {
    let folder = rig
        .home
        .path()
        .join("hub/.locks/models--timm--vgg16.tv_in1k");
    folder.join(format!("{}.lock", sha256(&rig.file)))
}

fn impatient(rig: &Rig) -> HubOptions {
    rig.options().lock_timeout(Duration::from_millis(10))
}

#[track_caller]
fn assert_locked(result: Result<()>, lock: &Path) {
    match result {
        Err(Error::File(FileError::Locked { file, .. })) => {
            assert_eq!(file, lock.display().to_string());
        }
        other => panic!("{other:?}"),
    }
}

/// The lock of a process that fetches kept everybody waiting, without a limit.
#[test]
fn a_held_lock_stops_those_who_fetch_and_no_others() {
    let rig = Rig::start();
    rig.load(&[P]).unwrap();
    let held = File::open(own_lock(&rig)).unwrap();
    held.lock().unwrap();
    let set = WeightSet::hub(REPOSITORY);
    rig.load_with(&set, impatient(&rig), &[P]).unwrap();
    rig.load_with(&set, impatient(&rig).offline(true), &[P])
        .unwrap();
    let waiting = rig.load_with(&set, impatient(&rig), &[P, T]);
    assert_locked(waiting, &own_lock(&rig));
    drop(held);
    rig.load(&[P, T]).unwrap();

    fs::create_dir_all(shared_lock(&rig).parent().unwrap()).unwrap();
    let held = File::create(shared_lock(&rig)).unwrap();
    held.lock().unwrap();
    let waiting = rig.load_with(&set, impatient(&rig), &MOST);
    assert_locked(waiting, &shared_lock(&rig));
    drop(held);
    rig.load(&MOST).unwrap();
    let held = File::open(shared_lock(&rig)).unwrap();
    held.lock().unwrap();
    rig.load_with(&set, impatient(&rig), &MOST).unwrap();
}

#[cfg(unix)]
mod planted {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn pipe(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(path);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// Locking truncated what a link led to, and a download was written there.
    #[test]
    fn links_in_the_caches_are_not_written_through() {
        let rig = Rig::start();
        let victim = rig.home.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let plant = |path: &Path| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(path);
            symlink(&victim, path).unwrap();
        };
        let blobs = rig.repository_folder().join("blobs");
        let partial = blobs.join(format!("{}.incomplete", sha256(&rig.file)));
        plant(&own_lock(&rig));
        rig.load(&[P]).unwrap();
        for path in [shared_lock(&rig), partial] {
            plant(&path);
            match rig.load(&MOST) {
                Err(Error::File(FileError::NotAFile { file, kind })) => {
                    assert_eq!(
                        (file, kind),
                        (path.display().to_string(), "a symbolic link")
                    );
                }
                other => panic!("{other:?}"),
            }
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        rig.load(&MOST).unwrap();
    }

    /// Opening each of them waited for ever.
    #[test]
    fn pipes_in_the_caches_are_not_waited_for() {
        let rig = Rig::start();
        rig.load(&[P]).unwrap();
        let entries = own_lock(&rig).parent().unwrap().to_path_buf();
        for name in ["lock", "info", "header", "tensors/p"] {
            pipe(&entries.join(name));
            rig.load(&[P]).unwrap();
        }
        pipe(&rig.snapshot());
        rig.load(&[P]).unwrap();
        pipe(&shared_lock(&rig));
        match rig.load(&MOST) {
            Err(Error::File(FileError::NotAFile { kind, .. })) => assert_eq!(kind, "a pipe"),
            other => panic!("{other:?}"),
        }
        pipe(&rig.repository_folder().join("refs/main"));
        rig.load_offline(&[P]).unwrap();
    }
}

#[derive(Default)]
struct NotKept(Mutex<Vec<String>>);

impl Progress for NotKept {
    fn start(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) {}

    fn finish(&self) {}

    fn not_kept(&self, what: &str, reason: &str) {
        let mut lines = self.0.lock().unwrap();
        lines.push(format!("{what}: {reason}"));
    }
}

/// The build failed, although all had been fetched.
#[test]
fn a_cache_that_can_not_be_written_is_done_without() {
    for wanted in [&[P][..], &MOST] {
        let rig = Rig::start();
        let file = rig.home.path().join("file");
        fs::write(&file, "").unwrap();
        let log = Arc::new(NotKept::default());
        let options = rig.options().home(file.join("home"));
        let options = ReadOptions::new().hub(options).progress(log.clone());
        let shapes: Vec<_> = wanted
            .iter()
            .map(|&(name, len)| (name, vec![len]))
            .collect();
        let loaded = load_plain(&WeightSet::hub(REPOSITORY), &shapes, &options).unwrap();
        for (tensor, (name, shape)) in loaded.iter().zip(&shapes) {
            assert_eq!(super::flat(tensor), super::values_of(name, shape));
        }
        let lines = log.0.lock().unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(REPOSITORY), "{lines:?}");
    }
}

#[test]
fn a_hash_is_compared_also_where_nothing_is_kept() {
    let rig = Rig::behaving(Behavior {
        sha256: Some("e".repeat(64)),
        ignore_ranges: true,
        ..Behavior::default()
    });
    let file = rig.home.path().join("file");
    fs::write(&file, "").unwrap();
    let options = rig.options().home(file.join("home"));
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(
        matches!(error, Err(Error::HashMismatch { .. })),
        "{error:?}"
    );
}

#[test]
fn a_home_that_can_not_be_written_may_have_all_that_is_needed() {
    let rig = Rig::start();
    let file = rig.home.path().join("file");
    fs::write(&file, "").unwrap();
    rig.load(&MOST).unwrap();
    rig.hub.take_requests();
    for offline in [true, false] {
        let options = rig.options().home(file.join("home"));
        let options = options.hub_cache(rig.home.path().join("hub"));
        let set = WeightSet::hub(REPOSITORY);
        rig.load_with(&set, options.offline(offline), &[P]).unwrap();
    }
    let requests = rig.hub.take_requests();
    assert_eq!(requests.iter().filter(is_file).count(), 0);
}

/// Trailers belong to no body, so no limit on a body's length ends them.
#[test]
fn an_answer_with_trailers_without_end_runs_out_of_time() {
    let rig = Rig::start();
    let address = endless(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        "X-More: yes\r\n",
    );
    let options = rig.options().endpoint(address);
    let options = options.timeout(Duration::from_millis(300)).retries(0);
    match rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]) {
        Err(Error::HubResponse { reason, .. }) => {
            assert!(reason.contains("did not arrive in time"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_of_a_file_must_arrive_at_the_lowest_rate() {
    let rig = Rig::start();
    rig.load(&[("a", 4)]).unwrap();
    rig.hub.behave(Behavior {
        drip: true,
        ..Behavior::default()
    });
    let options = rig.options().timeout(Duration::from_millis(100)).retries(0);
    let options = options.lowest_rate(5_000);
    match rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]) {
        Err(Error::HubResponse { reason, .. }) => {
            assert!(reason.contains("5000 bytes a second"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
