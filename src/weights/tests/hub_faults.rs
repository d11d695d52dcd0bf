use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::super::ReadOptions;
use super::content::Content;
use super::hub::{FILE, MOST, P, REPOSITORY, Rig, T, left_behind, sha256};
use super::local_hub::{Behavior, LocalHub};
use super::{endless, load_plain, safetensors_of};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

/// What loading ends with, and how many requests it made.
fn fault(behavior: Behavior) -> (Result<()>, usize) {
    let rig = Rig::behaving(behavior);
    let result = rig.load(&[P]);
    assert_eq!(left_behind(&rig), 0);
    (result, rig.hub.take_requests().len())
}

fn api(status: u16) -> Behavior {
    Behavior {
        api_status: Some(status),
        ..Behavior::default()
    }
}

fn file(status: u16) -> Behavior {
    Behavior {
        file_status: Some(status),
        ..Behavior::default()
    }
}

#[test]
fn unknown_repositories_revisions_and_files() {
    let rig = Rig::start();
    for (set, expected) in [
        (WeightSet::hub("timm/vgg99"), "repository"),
        (WeightSet::hub(REPOSITORY).revision("v2"), "revision"),
        (
            WeightSet::hub(REPOSITORY).revision("c".repeat(40)),
            "revision",
        ),
        (
            WeightSet::hub(REPOSITORY).filename("other.safetensors"),
            "file",
        ),
    ] {
        match rig.load_with(&set, rig.options(), &[P]) {
            Err(Error::HubNotFound { missing, .. }) => assert_eq!(missing, Some(expected)),
            other => panic!("{other:?}"),
        }
    }
    // A mirror that does not say what is missing.
    let (result, _) = fault(api(404));
    assert!(matches!(
        result,
        Err(Error::HubNotFound { missing: None, .. })
    ));
    // The hub's answer to those who have no token.
    let no_token = Behavior {
        error_code: Some("RepoNotFound"),
        ..api(401)
    };
    for (behavior, expected) in [(no_token, 1), (file(404), 2)] {
        let (result, requests) = fault(behavior);
        assert!(matches!(result, Err(Error::HubNotFound { .. })));
        assert_eq!(requests, expected);
    }
}

#[test]
fn names_that_are_none_make_no_request() {
    let rig = Rig::start();
    let refused = |repository: &str, options, named| {
        let error = rig.load_with(&WeightSet::hub(repository), options, &[P]);
        match error.unwrap_err() {
            Error::InvalidHubName { what, .. } => assert_eq!(what, named),
            other => panic!("{other}"),
        }
    };
    refused("../../etc", rig.options(), "repository");
    for endpoint in ["", "huggingface.co", "ftp://x", "http://"] {
        refused(REPOSITORY, rig.options().endpoint(endpoint), "address");
    }
    let options = rig.options().endpoint("ftp://ada:s3cret@x");
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("***@x") && !error.contains("s3cret"),
        "{error}"
    );
    refused(REPOSITORY, rig.options().token("line\nbreak"), "token");
    assert_eq!(rig.hub.take_requests(), []);
}

#[test]
fn access_refused() {
    for (behavior, status) in [
        (api(401), 401),
        (api(403), 403),
        (file(401), 401),
        (file(403), 403),
        (
            Behavior {
                token: Some("hf_other"),
                ..Behavior::default()
            },
            401,
        ),
    ] {
        match fault(behavior) {
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
fn an_answer_without_end() {
    let rig = Rig::start();
    let address = endless(
        "HTTP/1.1 200 OK\r\n\r\n",
        "                                ",
    );
    let options = rig.options().endpoint(address);
    match rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]) {
        Err(Error::HubResponse { reason, .. }) => {
            assert!(reason.contains("longer than"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_never_answers() {
    let rig = Rig::behaving(Behavior {
        silent: true,
        ..Behavior::default()
    });
    let options = rig.options().timeout(Duration::from_millis(100)).retries(1);
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(
        matches!(error, Err(Error::HubUnreachable { .. })),
        "{error:?}"
    );
    let requests = rig.hub.take_requests();
    assert_eq!(requests.len(), 3, "commit, and the file twice");
}

#[test]
fn offline_without_what_is_needed() {
    let rig = Rig::start();
    let missing = |result| match result {
        Err(Error::Offline { what }) => what,
        other => panic!("{other:?}"),
    };
    let nothing = missing(rig.load_offline(&[P]));
    assert_eq!(nothing, format!("{REPOSITORY}@main"));
    let pinned = WeightSet::hub(REPOSITORY).revision("d".repeat(40));
    let commit = missing(rig.load_with(&pinned, rig.options().offline(true), &[P]));
    assert_eq!(commit, format!("{REPOSITORY}@dddddddddddd/{FILE}"));
    rig.load(&[P]).unwrap();
    let tensor = missing(rig.load_offline(&[P, T]));
    assert!(tensor.starts_with("tensor \"t\" of "));
    rig.load_offline(&[P]).unwrap();
}

#[test]
fn rate_limits() {
    // A long wait is the caller's affair.
    let long_wait = Behavior {
        retry_after: Some(3600),
        ..api(429)
    };
    for (behavior, expected) in [(api(429), 3), (file(429), 4), (long_wait, 1)] {
        let (result, requests) = fault(behavior);
        assert!(matches!(result, Err(Error::HubRateLimited { .. })));
        assert_eq!(requests, expected);
    }
}

#[test]
fn failures_that_pass_and_failures_that_do_not() {
    for (failure_status, retry_after) in [
        (408, None),
        (429, Some(0)),
        (500, None),
        (502, None),
        (503, None),
        (504, None),
    ] {
        let (result, requests) = fault(Behavior {
            failures: 2,
            failure_status,
            retry_after,
            ..Behavior::default()
        });
        result.unwrap();
        assert_eq!(requests, 5, "two more than without failures");
    }
    let another_range = Behavior {
        shift_ranges: true,
        ..Behavior::default()
    };
    for behavior in [api(503), file(500), api(418), file(418), another_range] {
        let (result, _) = fault(behavior);
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
    let behavior = |cut_short| Behavior {
        cut_short,
        ..Behavior::default()
    };
    rig.hub.behave(behavior(1));
    rig.load(&[P]).unwrap();
    let ranges = rig.ranges();
    let [(first, last), (middle, end)] = ranges[..] else {
        panic!("{ranges:?}");
    };
    assert_eq!((last + 1 - first, end), (4_000, last));
    assert_eq!(middle, first + 2_000);

    rig.hub.behave(behavior(u32::MAX));
    let error = rig.load(&[T]).unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(rig.ranges().len(), 3);

    // The whole file: what has arrived stays for the next time.
    let error = rig.load(&MOST).unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(left_behind(&rig), 1);
    rig.hub.take_requests();
    rig.hub.behave(behavior(0));
    rig.load(&MOST).unwrap();
    let continued = rig.ranges();
    let have = rig.file.len() as u64 * 7 / 8;
    assert_eq!(continued, [(have, rig.file.len() as u64 - 1)]);
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    assert_eq!(left_behind(&rig), 0);
}

#[test]
fn whole_files_cut_short_by_a_server_without_ranges() {
    let cut_short = |cut_short| Behavior {
        ignore_ranges: true,
        cut_short,
        ..Behavior::default()
    };
    let rig = Rig::behaving(cut_short(2));
    // The answer to the header's range is given up; then one is cut short.
    rig.load(&[P]).unwrap();
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    let rig = Rig::behaving(cut_short(u32::MAX));
    let error = rig.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubResponse { .. }), "{error}");
    assert!(!rig.snapshot().exists());
}

#[test]
fn a_file_in_a_folder_of_the_repository_is_fetched_whole() {
    let bytes = safetensors_of(&[("p", vec![20_000])]);
    let content: Arc<dyn Content> = Arc::new(bytes.clone());
    for (name, escaped) in [
        ("snapshots/model.safetensors", "snapshots/model.safetensors"),
        ("half/model v2.safetensors", "half/model%20v2.safetensors"),
    ] {
        let files = [name, escaped].map(|name| (name, content.clone(), sha256(&bytes)));
        let hub = LocalHub::start(REPOSITORY, files.to_vec());
        let rig = Rig::start();
        let options = ReadOptions::new().hub(rig.options().endpoint(hub.endpoint()));
        let set = WeightSet::hub(REPOSITORY).filename(name);
        load_plain(&set, &[("p", vec![20_000])], &options).unwrap();
        let snapshot = rig.snapshot().with_file_name(name);
        assert_eq!(std::fs::read(snapshot).unwrap(), bytes);
    }
}
