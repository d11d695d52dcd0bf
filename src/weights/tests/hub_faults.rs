use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::super::ReadOptions;
use super::content::Content;
use super::hub::{FILE, P, REPOSITORY, Rig, T, left_behind, sha256};
use super::local_hub::{Behavior, LocalHub};
use super::{load_plain, safetensors_of};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

const MOST: [(&str, usize); 2] = [("m", 20_000), ("q", 30_000)];

/// What loading ends with, and how many requests it made.
fn fault(behavior: Behavior) -> (Result<()>, usize) {
    let rig = Rig::start();
    rig.hub.behave(behavior);
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
    for set in [
        WeightSet::hub("timm/vgg99"),
        WeightSet::hub(REPOSITORY).revision("v2"),
        WeightSet::hub(REPOSITORY).filename("other.safetensors"),
    ] {
        let error = rig.load_with(&set, rig.options(), &[P]).unwrap_err();
        assert!(matches!(error, Error::HubNotFound { .. }), "{error}");
    }
    // The hub's answer to those who have no token.
    let (result, requests) = fault(Behavior {
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        // Until the client has had enough.
        while stream.write_all(&[b' '; 64 * 1024]).is_ok() {}
    });
    let options = rig.options().endpoint(format!("http://{address}"));
    match rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]) {
        Err(Error::HubResponse { reason, .. }) => {
            assert!(reason.contains("longer than"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_never_answers() {
    let rig = Rig::start();
    rig.hub.behave(Behavior {
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
    let (result, requests) = fault(Behavior {
        retry_after: Some(3600),
        ..api(429)
    });
    assert!(matches!(result, Err(Error::HubRateLimited { .. })));
    assert_eq!(requests, 1);
    let (result, requests) = fault(Behavior {
        failures: 2,
        failure_status: 429,
        retry_after: Some(0),
        ..Behavior::default()
    });
    result.unwrap();
    assert_eq!(requests, 6);
}

#[test]
fn failures_that_pass_and_failures_that_do_not() {
    for status in [408, 500, 502, 503, 504] {
        let (result, requests) = fault(Behavior {
            failures: 2,
            failure_status: status,
            ..Behavior::default()
        });
        result.unwrap();
        assert_eq!(requests, 6, "two more than without failures");
    }
    for behavior in [api(503), file(500), api(418), file(418)] {
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
    let rig = Rig::start();
    rig.hub.behave(Behavior {
        ignore_ranges: true,
        cut_short: 2,
        ..Behavior::default()
    });
    // The answer to the header's range is given up; then one is cut short.
    rig.load(&[P]).unwrap();
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    let rig = Rig::start();
    rig.hub.behave(Behavior {
        ignore_ranges: true,
        cut_short: u32::MAX,
        ..Behavior::default()
    });
    let error = rig.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubResponse { .. }), "{error}");
    assert!(!rig.snapshot().exists());
}

#[test]
fn an_answer_that_is_another_range() {
    let (result, _) = fault(Behavior {
        shift_ranges: true,
        ..Behavior::default()
    });
    assert!(
        matches!(result, Err(Error::HubResponse { .. })),
        "{result:?}"
    );
}

#[test]
fn a_home_that_can_not_be_written() {
    let rig = Rig::start();
    let file = rig.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = rig.options().home(file.join("home"));
    let error = rig.load_with(&WeightSet::hub(REPOSITORY), options, &[P]);
    assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
    // It may be so if all that is needed is in the shared cache.
    rig.load(&MOST).unwrap();
    for offline in [true, false] {
        let options = rig.options().home(file.join("home"));
        let options = options.hub_cache(rig.home.path().join("hub"));
        let set = WeightSet::hub(REPOSITORY);
        rig.load_with(&set, options.offline(offline), &[P]).unwrap();
    }
}

#[test]
fn a_file_below_a_folder_named_snapshots_is_fetched_whole() {
    let bytes = safetensors_of(&[("p", vec![20_000])]);
    let content: Arc<dyn Content> = Arc::new(bytes.clone());
    let name = "snapshots/model.safetensors";
    let hub = LocalHub::start(REPOSITORY, vec![(name, content, sha256(&bytes))]);
    let rig = Rig::start();
    let options = ReadOptions::new().hub(rig.options().endpoint(hub.endpoint()));
    let set = WeightSet::hub(REPOSITORY).filename(name);
    load_plain(&set, &[("p", vec![20_000])], &options).unwrap();
    let snapshot = rig.snapshot().with_file_name(name);
    assert_eq!(std::fs::read(snapshot).unwrap(), bytes);
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
    let options = ReadOptions::new().hub(rig.options().endpoint(hub.endpoint()));
    let set = WeightSet::hub(REPOSITORY).filename(name);
    load_plain(&set, &[("p", vec![20_000])], &options).unwrap();
    let snapshot = rig.snapshot().with_file_name(name);
    assert_eq!(std::fs::read(snapshot).unwrap(), bytes);
}
