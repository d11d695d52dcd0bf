use std::time::{Duration, Instant};

use super::hub::{MOST, P, REPOSITORY, Rig, T, is_file, sha256};
use super::local_hub::{Behavior, COMMIT};
use crate::error::Error;
use crate::graph::WeightSet;

/// A server that knows nothing but files at their addresses.
fn plain() -> Behavior {
    Behavior {
        json_status: Some(404),
        ..Behavior::default()
    }
}

#[test]
fn a_mirror_that_serves_files_alone() {
    // 200 comes with a page instead of JSON.
    for status in [404, 405, 501, 200] {
        let rig = Rig::behaving(Behavior {
            json_status: Some(status),
            ..Behavior::default()
        });
        rig.load(&[P, T]).unwrap();
        let requests = rig.hub.take_requests();
        assert_eq!(requests.len(), 4, "{requests:?}");
        rig.load(&MOST).unwrap();
        assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
        let promised = WeightSet::hub(REPOSITORY).sha256("e".repeat(64));
        let error = rig.load_with(&promised, rig.options(), &[P]).unwrap_err();
        assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    }
}

#[test]
fn a_mirror_that_takes_no_head_is_asked_in_json() {
    let rig = Rig::behaving(Behavior {
        no_head: true,
        ..Behavior::default()
    });
    rig.load(&[P]).unwrap();
    let methods: Vec<_> = rig.hub.take_requests();
    let methods: Vec<_> = methods.iter().map(|request| &*request.method).collect();
    assert_eq!(methods, ["HEAD", "GET", "POST", "GET", "GET"]);
    rig.load(&MOST).unwrap();
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    rig.load_offline(&[T]).unwrap();

    let error = Rig::behaving(Behavior {
        no_head: true,
        ..plain()
    });
    let error = error.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubNotFound { .. }), "{error}");
}

#[test]
fn a_hash_that_is_no_etag_comes_in_json_where_that_is_served() {
    let opaque = |behavior| Behavior {
        etag: Some("5f3-61a"),
        ..behavior
    };
    let rig = Rig::behaving(opaque(Behavior::default()));
    rig.load(&MOST).unwrap();
    let blobs = rig.repository_folder().join("blobs");
    assert!(blobs.join(sha256(&rig.file)).is_file());

    let rig = Rig::behaving(opaque(plain()));
    rig.load(&[P]).unwrap();
    rig.load(&MOST).unwrap();
    let blobs = rig.repository_folder().join("blobs");
    assert!(blobs.join("5f3-61a").is_file());
    assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
}

#[test]
fn where_no_commit_is_named_the_etag_tells_versions_apart() {
    let behavior = |etag| Behavior {
        no_commit: true,
        etag,
        ..plain()
    };
    let rig = Rig::behaving(behavior(None));
    rig.load(&[P]).unwrap();
    rig.load(&MOST).unwrap();
    rig.hub.take_requests();
    rig.load(&[T]).unwrap();
    rig.load_offline(&[T]).unwrap();
    let requests = rig.hub.take_requests();
    assert!(!requests.iter().any(|request| is_file(&request)));
    // No tool takes the ETag for a commit.
    assert!(!rig.repository_folder().join("refs").exists());

    rig.hub.behave(behavior(Some("another")));
    rig.load(&[T]).unwrap();
    let requests = rig.hub.take_requests();
    assert!(requests.iter().any(|request| is_file(&request)));

    let nothing = Rig::behaving(behavior(Some("")));
    let error = nothing.load(&[P]).unwrap_err();
    assert!(matches!(error, Error::HubNotFound { .. }), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_loaded_is_refused() {
    let rig = Rig::behaving(Behavior {
        no_commit: true,
        moving: true,
        ..plain()
    });
    for wanted in [&[P][..], &MOST] {
        match rig.load(wanted) {
            Err(Error::HubResponse { reason, .. }) => assert!(reason.contains("has changed")),
            other => panic!("{other:?}"),
        }
    }
    rig.hub.behave(Behavior {
        moving: true,
        ..plain()
    });
    rig.load(&[P]).unwrap();
}

#[test]
fn a_commit_from_json_serves_where_headers_name_none() {
    let rig = Rig::behaving(Behavior {
        no_commit: true,
        ..Behavior::default()
    });
    rig.load(&[P]).unwrap();
    let requests = rig.hub.take_requests();
    let mut files = requests.iter().filter(is_file);
    assert!(files.all(|request| request.path.contains(COMMIT)));
}

#[test]
fn an_endpoint_may_have_a_path() {
    let rig = Rig::behaving(Behavior {
        prefix: "/mirrors/hf",
        ..Behavior::default()
    });
    for path in ["/mirrors/hf", "/mirrors/hf/"] {
        let endpoint = format!("{}{path}", rig.hub.endpoint());
        let set = WeightSet::hub(REPOSITORY);
        let options = rig.options().endpoint(endpoint);
        rig.load_with(&set, options, &[P]).unwrap();
    }
    let requests = rig.hub.take_requests();
    let path = format!("/mirrors/hf/{REPOSITORY}/resolve/main/model.safetensors");
    assert_eq!(requests[0].path, path);
}

#[test]
fn redirects_relative_to_the_path_are_followed() {
    for prefix in ["", "/mirrors/hf"] {
        let rig = Rig::behaving(Behavior {
            relative: true,
            prefix,
            token: Some("hf_secret"),
            ..Behavior::default()
        });
        let endpoint = format!("{}{prefix}", rig.hub.endpoint());
        let options = rig.options().endpoint(endpoint).token("hf_secret");
        let set = WeightSet::hub(REPOSITORY);
        rig.load_with(&set, options, &[P]).unwrap();
        let requests = rig.hub.take_requests();
        let path = format!("{prefix}/cdn/main/model.safetensors");
        assert_eq!(requests[1].path, path);
        assert_eq!(requests.len(), 6);
    }
}

#[test]
fn a_body_that_drips_is_given_up() {
    let rig = Rig::start();
    rig.load(&[("a", 4)]).unwrap();
    rig.hub.take_requests();
    rig.hub.behave(Behavior {
        drip: true,
        ..Behavior::default()
    });
    let window = Duration::from_millis(200);
    let options = rig.options().timeout(window).retries(1);
    let start = Instant::now();
    let set = WeightSet::hub(REPOSITORY);
    match rig.load_with(&set, options, &[P]) {
        Err(Error::HubResponse { reason, .. }) => {
            assert!(reason.contains("1024 bytes a second"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // 4000 bytes would take 20 seconds.
    assert!(start.elapsed() < Duration::from_secs(10));
    // What did arrive is not asked for again.
    let ranges = rig.ranges();
    assert_eq!(ranges.len(), 2);
    assert!(ranges[1].0 > ranges[0].0);
}
