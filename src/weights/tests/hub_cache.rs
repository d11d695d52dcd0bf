use std::fs;
use std::path::PathBuf;

use super::super::hub::{WAYS, Way, link};
use super::hub::{FILE, MOST, P, REPOSITORY, Rig, T, assert_mismatch, is_file, sha256};
use super::local_hub::{Behavior, COMMIT};
use crate::error::Error;
use crate::graph::WeightSet;

/// Where the bytes of one tensor are kept.
fn tensor(rig: &Rig, name: &str) -> PathBuf {
    rig.home
        .path()
        .join("vgg-surgery/models--timm--vgg16.tv_in1k")
        .join(COMMIT)
        .join(FILE)
        .join("tensors")
        .join(name)
}

/// Damages a file, and returns whether loading asks the hub for it again.
fn is_noticed(rig: &Rig, damage: impl FnOnce()) {
    damage();
    rig.hub.take_requests();
    rig.load(&[P, T]).unwrap();
    assert_eq!(rig.ranges().len(), 1);
    rig.load(&[P, T]).unwrap();
    assert_eq!(rig.ranges().len(), 0, "it is mended");
}

#[test]
fn damage_to_a_kept_tensor_is_noticed_and_mended() {
    let rig = Rig::start();
    rig.load(&[P, T]).unwrap();
    let path = tensor(&rig, "p");
    let good = fs::read(&path).unwrap();
    assert_eq!(good.len(), 16 + 32 + 4_000);
    for place in [0, 20, 100, good.len() - 1] {
        is_noticed(&rig, || {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
        });
    }
    is_noticed(&rig, || fs::write(&path, &good[..good.len() - 1]).unwrap());
    is_noticed(&rig, || fs::write(&path, []).unwrap());
    is_noticed(&rig, || fs::remove_file(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn a_tensor_under_another_name_is_noticed() {
    let rig = Rig::serving(super::safetensors_of(&[
        ("a", vec![20_000]),
        ("p", vec![1_000]),
        ("r", vec![30_000]),
        ("s", vec![1_000]),
    ]));
    rig.load(&[("p", 1_000), ("s", 1_000)]).unwrap();
    fs::copy(tensor(&rig, "s"), tensor(&rig, "p")).unwrap();
    rig.load(&[("p", 1_000), ("s", 1_000)]).unwrap();
}

#[test]
fn damage_is_no_help_offline() {
    let rig = Rig::start();
    rig.load(&[P]).unwrap();
    let path = tensor(&rig, "p");
    fs::write(&path, "damaged").unwrap();
    match rig.load_offline(&[P]) {
        Err(Error::Offline { what }) => assert!(what.starts_with("tensor \"p\""), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damage_to_a_whole_file_is_noticed_and_mended() {
    let rig = Rig::start();
    rig.load(&MOST).unwrap();
    rig.hub.take_requests();
    let blob = fs::canonicalize(rig.snapshot()).unwrap();

    let mut damaged = rig.file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&blob, &damaged).unwrap();
    assert_mismatch(rig.load_offline(&[P]), &sha256(&rig.file), &damaged);
    // Online, tensors come from the hub, and the file when it is needed.
    rig.load(&[P]).unwrap();
    assert_eq!(fs::read(&blob).unwrap(), damaged);
    rig.load(&MOST).unwrap();
    assert_eq!(fs::read(&blob).unwrap(), rig.file);
    rig.load_offline(&[P, T]).unwrap();

    fs::write(&blob, &rig.file[..100]).unwrap();
    let error = rig.load_offline(&[P]).unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    rig.load(&MOST).unwrap();
    assert_eq!(fs::read(&blob).unwrap(), rig.file);
}

/// On a file system without symbolic links there is a hard link, or a copy.
#[test]
fn files_are_fetched_once_where_links_can_not_be_made() {
    let fails: Way = |_, _, _| Err(std::io::ErrorKind::Unsupported.into());
    for ways in [&[fails, WAYS[1]][..], &[fails, fails]] {
        let rig = Rig::start();
        rig.load(&MOST).unwrap();
        let blob = fs::canonicalize(rig.snapshot()).unwrap();
        fs::remove_file(rig.snapshot()).unwrap();
        link(&blob, &rig.snapshot(), 1, ways).unwrap();
        assert!(!rig.snapshot().is_symlink());
        rig.hub.take_requests();
        rig.load_offline(&[P, T]).unwrap();
        rig.load(&MOST).unwrap();
        // Another commit with the same file.
        rig.hub.set_commit(&"c".repeat(40));
        rig.load(&MOST).unwrap();
        let requests = rig.hub.take_requests();
        let fetched: Vec<_> = requests.iter().filter(is_file).collect();
        assert_eq!(fetched.len(), 1, "a header: {fetched:?}");

        rig.hub.set_commit(COMMIT);
        let pinned = WeightSet::hub(REPOSITORY).revision(COMMIT);
        let mut damaged = rig.file.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(rig.snapshot(), &damaged).unwrap();
        let offline = rig.load_with(&pinned, rig.options().offline(true), &[P]);
        assert_mismatch(offline, &sha256(&rig.file), &damaged);
        rig.load_with(&pinned, rig.options(), &MOST).unwrap();
        assert_eq!(fs::read(rig.snapshot()).unwrap(), rig.file);
    }
    let rig = Rig::start();
    rig.load(&MOST).unwrap();
    let blob = fs::canonicalize(rig.snapshot()).unwrap();
    let other = rig.snapshot().with_file_name("other");
    fs::remove_file(&blob).unwrap();
    let error = link(&blob, &other, 1, &[fails]).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_page_cached_as_a_model_is_not_believed() {
    // Some tools cache whatever a server answers.
    let rig = Rig::start();
    fs::create_dir_all(rig.snapshot().parent().unwrap()).unwrap();
    fs::write(rig.snapshot(), "403 Forbidden").unwrap();
    let refs = rig.repository_folder().join("refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join("main"), COMMIT).unwrap();
    let error = rig.load_offline(&[P]).unwrap_err();
    assert!(matches!(error, Error::InvalidWeights { .. }), "{error}");
    rig.load(&[P]).unwrap();
    rig.load(&MOST).unwrap();
    assert_eq!(fs::read(rig.snapshot()).unwrap(), rig.file);
}

#[test]
fn what_another_tool_left_unfinished_is_continued_or_replaced() {
    let length = Rig::start().file.len();
    for (right, wrong, continued) in [
        (1_000, 0, true),
        (0, 1_000, true),
        (0, length, false),
        (0, 2 * length, false),
    ] {
        let rig = Rig::start();
        let blobs = rig.repository_folder().join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        let partial = blobs.join(format!("{}.incomplete", sha256(&rig.file)));
        let left = [&rig.file[..right], &vec![7; wrong]].concat();
        fs::write(&partial, left).unwrap();
        rig.load(&MOST).unwrap();
        assert_eq!(fs::read(rig.snapshot()).unwrap(), rig.file);
        assert!(!partial.exists());
        let asked = rig.ranges().into_iter().any(|(first, _)| first == 1_000);
        assert_eq!(asked, continued);
    }
}

#[test]
fn the_branch_is_known_when_the_hub_is_out_of_order() {
    let rig = Rig::start();
    rig.load(&[P]).unwrap();
    let answer = |status| Behavior {
        api_status: Some(status),
        ..Behavior::default()
    };
    rig.hub.behave(answer(503));
    rig.load(&[P, T]).unwrap();
    rig.hub.behave(answer(404));
    let error = rig.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubNotFound { .. }), "{error}");
}
