use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::super::LoadOptions;
use super::hub::{FILE, P, REPOSITORY, Rig, T, files_below, sha256};
use super::local_hub::{Behaviour, Content, LocalHub};
use super::{load_plain, safetensors_of};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

const ALL: [(&str, usize); 2] = [("m", 20_000), ("q", 30_000)];

/// What loading ends with, and how many requests it made.
fn fault(behaviour: Behaviour) -> (Result<()>, usize) {
    let rig = Rig::start();
    rig.hub.behave(behaviour);
    let result = rig.load(&[P]);
    assert_eq!(left_behind(&rig), 0);
    (result, rig.hub.take_requests().len())
}

/// Files that nobody would look at again.
fn left_behind(rig: &Rig) -> usize {
    let files = files_below(rig.home.path());
    let partial = |name: &&String| name.ends_with(".tmp") || name.ends_with(".incomplete");
    files.iter().filter(partial).count()
}

fn api(status: u16) -> Behaviour {
    Behaviour {
        api_status: Some(status),
        ..Behaviour::default()
    }
}

fn file(status: u16) -> Behaviour {
    Behaviour {
        file_status: Some(status),
        ..Behaviour::default()
    }
}

#[test]
fn unknown_repositories_revisions_and_files() {
    let rig = Rig::start();
    for set in [
        WeightSet::hub("timm/vgg99"),
        WeightSet::hub(REPOSITORY).revision("v2"),
        WeightSet::hub(REPOSITORY).filename("other.safetensors"),
    ] {
        let error = rig.load_with(&set, rig.options(), &[P]).unwrap_err();
        assert!(matches!(error, Error::HubNotFound { .. }), "{error}");
    }
    // The hub's answer to those who have no token.
    let (result, requests) = fault(Behaviour {
        error_code: Some("RepoNotFound"),
        ..api(401)
    });
    assert!(matches!(result, Err(Error::HubNotFound { .. })));
    assert_eq!(requests, 1);
    let (result, _) = fault(file(404));
    assert!(matches!(result, Err(Error::HubNotFound { .. })));
}

#[test]
fn names_that_are_none_make_no_request() {
    let rig = Rig::start();
    let set = WeightSet::hub("../../etc");
    let error = rig.load_with(&set, rig.options(), &[P]).unwrap_err();
    assert!(matches!(
        error,
        Error::InvalidHubName {
            what: "repository",
            ..
        }
    ));
    for endpoint in ["", "huggingface.co", "ftp://x", "http://"] {
        let options = rig.options().endpoint(endpoint);
        let set = WeightSet::hub(REPOSITORY);
        let error = rig.load_with(&set, options, &[P]).unwrap_err();
        let named = matches!(
            &error,
            Error::InvalidHubName {
                what: "address",
                ..
            }
        );
        assert!(named, "{endpoint}: {error}");
    }
    let options = rig.options().token("line\nbreak");
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(matches!(
        error,
        Err(Error::InvalidHubName { what: "token", .. })
    ));
    assert_eq!(rig.hub.take_requests(), []);
}

#[test]
fn access_refused() {
    for (behaviour, status) in [
        (api(401), 401),
        (api(403), 403),
        (file(401), 401),
        (file(403), 403),
        (
            Behaviour {
                token: Some("hf_other"),
                ..Behaviour::default()
            },
            401,
        ),
    ] {
        match fault(behaviour) {
            (Err(Error::HubForbidden { status: found, .. }), _) => assert_eq!(found, status),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_network() {
    let rig = Rig::start();
    // A port that was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = || rig.options().endpoint(format!("http://{closed}"));
    let set = WeightSet::hub(REPOSITORY);
    let error = rig.load_with(&set, options(), &[P]).unwrap_err();
    assert!(matches!(error, Error::HubUnreachable { .. }), "{error}");
    rig.load(&[P]).unwrap();
    // What has been fetched still serves, what has not does not.
    rig.load_with(&set, options(), &[P]).unwrap();
    let error = rig.load_with(&set, options(), &[P, T]).unwrap_err();
    assert!(matches!(error, Error::HubUnreachable { .. }), "{error}");
}

#[test]
fn a_server_that_never_answers() {
    let rig = Rig::start();
    rig.hub.behave(Behaviour {
        silent: true,
        ..Behaviour::default()
    });
    let options = rig.options().timeout(Duration::from_millis(100)).retries(1);
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(
        matches!(error, Err(Error::HubUnreachable { .. })),
        "{error:?}"
    );
    let requests = rig.hub.take_requests();
    assert_eq!(requests.len(), 4, "commit, information, and the file twice");
}

#[test]
fn offline_without_what_is_needed() {
    let rig = Rig::start();
    let offline = || rig.options().offline(true);
    let set = WeightSet::hub(REPOSITORY);
    let missing =
        |set: &WeightSet, wanted: &[(&str, usize)]| match rig.load_with(set, offline(), wanted) {
            Err(Error::Offline { what }) => what,
            other => panic!("{other:?}"),
        };
    assert_eq!(missing(&set, &[P]), format!("{REPOSITORY}@main"));
    let pinned = set.clone().revision("d".repeat(40));
    assert_eq!(
        missing(&pinned, &[P]),
        format!("{REPOSITORY}@dddddddddddd/{FILE}")
    );
    rig.load(&[P]).unwrap();
    assert!(missing(&set, &[P, T]).starts_with("tensor \"t\" of "));
    rig.load_with(&set, offline(), &[P]).unwrap();
}

#[test]
fn rate_limits() {
    let (result, requests) = fault(api(429));
    assert!(matches!(result, Err(Error::HubRateLimited { .. })));
    assert_eq!(requests, 3);
    let (result, requests) = fault(file(429));
    assert!(matches!(result, Err(Error::HubRateLimited { .. })));
    assert_eq!(requests, 5);
    // A long wait is the caller's affair.
    let (result, requests) = fault(Behaviour {
        retry_after: Some(3600),
        ..api(429)
    });
    assert!(matches!(result, Err(Error::HubRateLimited { .. })));
    assert_eq!(requests, 1);
    let (result, requests) = fault(Behaviour {
        failures: 2,
        failure_status: 429,
        retry_after: Some(0),
        ..Behaviour::default()
    });
    result.unwrap();
    assert_eq!(requests, 6);
}

#[test]
fn failures_that_pass_and_failures_that_do_not() {
    for status in [408, 500, 502, 503, 504] {
        let (result, requests) = fault(Behaviour {
            failures: 2,
            failure_status: status,
            ..Behaviour::default()
        });
        result.unwrap();
        assert_eq!(requests, 6, "two more than without failures");
    }
    for behaviour in [api(503), file(500), api(418), file(418)] {
        let (result, _) = fault(behaviour);
        assert!(
            matches!(result, Err(Error::HubResponse { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn bodies_cut_short_are_continued() {
    let rig = Rig::start();
    rig.load(&[("a", 4)]).unwrap();
    rig.hub.take_requests();
    let behaviour = |cut_short| Behaviour {
        cut_short,
        ..Behaviour::default()
    };
    rig.hub.behave(behaviour(1));
    rig.load(&[P]).unwrap();
    let ranges = rig.ranges();
    let [(first, last), (middle, end)] = ranges[..] else {
        panic!("{ranges:?}");
    };
    assert_eq!((last + 1 - first, end), (4_000, last));
    assert_eq!(middle, first + 2_000);

    rig.hub.behave(behaviour(u32::MAX));
    let error = rig.load(&[T]).unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(rig.ranges().len(), 3);

    // The whole file: what has arrived stays for the next time.
    let error = rig.load(&ALL).unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(left_behind(&rig), 1);
    rig.hub.take_requests();
    rig.hub.behave(behaviour(0));
    rig.load(&ALL).unwrap();
    let continued = rig.ranges();
    let have = rig.file.len() as u64 * 7 / 8;
    assert_eq!(continued, [(have, rig.file.len() as u64 - 1)]);
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    assert_eq!(left_behind(&rig), 0);
}

#[test]
fn whole_files_cut_short_by_a_server_without_ranges() {
    let rig = Rig::start();
    rig.hub.behave(Behaviour {
        ignore_ranges: true,
        cut_short: 2,
        ..Behaviour::default()
    });
    // The answer to the header's range is given up; then one is cut short.
    rig.load(&[P]).unwrap();
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    let rig = Rig::start();
    rig.hub.behave(Behaviour {
        ignore_ranges: true,
        cut_short: u32::MAX,
        ..Behaviour::default()
    });
    let error = rig.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubResponse { .. }), "{error}");
    assert!(!rig.snapshot().exists());
}

#[test]
fn an_answer_that_is_another_range() {
    let (result, _) = fault(Behaviour {
        shift_ranges: true,
        ..Behaviour::default()
    });
    assert!(
        matches!(result, Err(Error::HubResponse { .. })),
        "{result:?}"
    );
}

#[test]
fn wrong_hashes() {
    // The weight set promises another file than the hub has.
    let rig = Rig::start();
    let promised = WeightSet::hub(REPOSITORY).sha256("e".repeat(64));
    for wanted in [&[P][..], &ALL] {
        match rig.load_with(&promised, rig.options(), wanted) {
            Err(Error::HashMismatch {
                expected, actual, ..
            }) => {
                assert_eq!(expected, "e".repeat(64));
                assert_eq!(actual, sha256(&rig.file));
            }
            other => panic!("{other:?}"),
        }
    }
    let right = WeightSet::hub(REPOSITORY).sha256(sha256(&rig.file).to_uppercase());
    rig.load_with(&right, rig.options(), &[P]).unwrap();

    // The file is not what the hub says.
    let rig = Rig::start();
    rig.hub.behave(Behaviour {
        sha256: Some("f".repeat(64)),
        ..Behaviour::default()
    });
    match rig.load(&ALL) {
        Err(Error::HashMismatch {
            expected, actual, ..
        }) => {
            assert_eq!(expected, "f".repeat(64));
            assert_eq!(actual, sha256(&rig.file));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(left_behind(&rig), 0);
    assert!(!rig.snapshot().exists());
    assert!(files_below(&rig.repository_folder()).is_empty());
    rig.hub.behave(Behaviour {
        sha256: Some("no hash".to_string()),
        ..Behaviour::default()
    });
    let other = Rig {
        home: tempfile::tempdir().unwrap(),
        ..rig
    };
    let error = other.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubResponse { .. }), "{error}");
}

/// A safetensors file of this header and so many bytes of data.
fn raw(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn files_that_are_not_sound() {
    let mut terabyte = raw("{}", 100_000);
    terabyte[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let overlapping = "{\"p\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[0,40]},\
                       \"t\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[20,60]}}";
    let good = safetensors_of(&[("p", vec![1_000]), ("t", vec![20_000])]);
    for (bytes, expected) in [
        (terabyte, "is the limit"),
        (raw(overlapping, 60), "\"t\" overlaps p"),
        (
            good[..good.len() - 4].to_vec(),
            "outside of the file's data",
        ),
        (raw("not json", 50_000), "can't be read"),
        (vec![1, 2, 3], "too few"),
        (Vec::new(), "too few"),
    ] {
        let rig = Rig::serving(bytes);
        match rig.load(&[P]) {
            Err(Error::InvalidWeights { reason, .. }) => {
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        assert!(!files_below(rig.home.path()).contains(&"header".to_string()));
        assert!(rig.hub.take_sent() < 64 * 1024);
    }
}

#[test]
fn a_long_header_is_fetched_to_its_end() {
    let names: Vec<String> = (0..1_000)
        .map(|index| format!("tensor.{index:04}"))
        .collect();
    let tensors: Vec<(&str, Vec<usize>)> = names
        .iter()
        .map(|name| (name.as_str(), vec![100]))
        .collect();
    let rig = Rig::serving(safetensors_of(&tensors));
    rig.load(&[("tensor.0900", 100)]).unwrap();
    assert_eq!(rig.ranges().len(), 3, "start, rest of the header, tensor");
}

#[test]
fn tensors_that_are_not_as_wanted() {
    let rig = Rig::start();
    let error = rig.load(&[("pp", 1_000)]).unwrap_err();
    match error {
        Error::MissingTensor {
            key, nearest, file, ..
        } => {
            assert_eq!((key.as_str(), nearest), ("pp", vec!["p".to_string()]));
            assert!(file.starts_with(REPOSITORY));
        }
        other => panic!("{other}"),
    }
    match rig.load(&[("p", 999)]).unwrap_err() {
        Error::TensorShape {
            expected, actual, ..
        } => {
            assert_eq!((expected, actual), (vec![999], vec![1_000]));
        }
        other => panic!("{other}"),
    }
    let rig = Rig::serving(raw(
        "{\"p\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        4,
    ));
    let error = rig.load(&[("p", 1)]).unwrap_err();
    assert!(matches!(error, Error::TensorDtype { dtype, .. } if dtype == "I32"));
}

#[test]
fn a_home_that_can_not_be_written() {
    let rig = Rig::start();
    let file = rig.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = rig.options().home(file.join("home"));
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
}

#[test]
fn a_file_in_a_folder_of_the_repository() {
    let bytes = safetensors_of(&[("p", vec![20_000])]);
    let content: Arc<dyn Content> = Arc::new(bytes.clone());
    let name = "half/model v2.safetensors";
    let escaped = "half/model%20v2.safetensors";
    let hub = LocalHub::start(
        REPOSITORY,
        vec![
            (name, content.clone(), sha256(&bytes)),
            (escaped, content, sha256(&bytes)),
        ],
    );
    let rig = Rig::start();
    let options = LoadOptions::new().hub(rig.options().endpoint(hub.endpoint()));
    let set = WeightSet::hub(REPOSITORY).filename(name);
    load_plain(&set, &[("p", vec![20_000])], &options).unwrap();
    let snapshot = rig.snapshot().with_file_name(name);
    assert_eq!(std::fs::read(snapshot).unwrap(), bytes);
}
