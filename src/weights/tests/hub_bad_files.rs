use super::hub::{MOST, P, REPOSITORY, Rig, assert_mismatch, files_below, left_behind, sha256};
use super::local_hub::Behavior;
use super::{flat, load_plain, raw_safetensors, safetensors_of};
use crate::error::Error;
use crate::graph::WeightSet;
use crate::weights::ReadOptions;

#[test]
fn wrong_hashes() {
    // The weight set promises another file than the hub has.
    let rig = Rig::start();
    let promised = WeightSet::hub(REPOSITORY).sha256("e".repeat(64));
    for wanted in [&[P][..], &MOST] {
        assert_mismatch(
            rig.load_with(&promised, rig.options(), wanted),
            &"e".repeat(64),
            &rig.file,
        );
    }
    let right = WeightSet::hub(REPOSITORY).sha256(sha256(&rig.file).to_uppercase());
    rig.load_with(&right, rig.options(), &[P]).unwrap();

    // The file is not what the hub says.
    let rig = Rig::behaving(Behavior {
        sha256: Some("f".repeat(64)),
        ..Behavior::default()
    });
    assert_mismatch(rig.load(&MOST), &"f".repeat(64), &rig.file);
    assert_eq!(left_behind(&rig), 0);
    assert!(!rig.snapshot().exists());
    assert!(files_below(&rig.repository_folder()).is_empty());
}

/// A hub that states no hash of its file.
fn without_a_hash() -> Rig {
    Rig::behaving(Behavior {
        in_git: true,
        ..Behavior::default()
    })
}

#[test]
fn a_promised_hash_holds_where_the_hub_states_none() {
    for wanted in [&[P][..], &MOST] {
        let rig = without_a_hash();
        // What was read before without a promise fulfils none.
        rig.load(wanted).unwrap();
        let promised = WeightSet::hub(REPOSITORY).sha256("e".repeat(64));
        assert_mismatch(
            rig.load_with(&promised, rig.options(), wanted),
            &"e".repeat(64),
            &rig.file,
        );
        assert_eq!(left_behind(&rig), 0);
        let right = WeightSet::hub(REPOSITORY).sha256(sha256(&rig.file));
        rig.load_with(&right, rig.options(), wanted).unwrap();
        assert_eq!(std::fs::read(rig.snapshot()).unwrap(), rig.file);
    }
}

#[test]
fn a_promised_hash_that_the_hub_does_not_state_is_told_offline() {
    let rig = without_a_hash();
    rig.load(&[P]).unwrap();
    let right = WeightSet::hub(REPOSITORY).sha256(sha256(&rig.file));
    let offline = || rig.options().offline(true);
    rig.hub.take_requests();
    let error = rig.load_with(&right, offline(), &[P]).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert_eq!(rig.hub.take_requests(), []);
    rig.load_with(&right, rig.options(), &[P]).unwrap();
    rig.load_with(&right, offline(), &[P]).unwrap();
}

#[test]
fn files_that_are_not_sound() {
    let mut terabyte = raw_safetensors("{}", &[0; 100_000]);
    terabyte[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let overlapping = "{\"p\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[0,40]},\
                       \"t\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[20,60]}}";
    let good = safetensors_of(&[("p", vec![1_000]), ("t", vec![20_000])]);
    for (bytes, expected) in [
        (terabyte, "which is the limit"),
        (raw_safetensors(overlapping, &[0; 60]), "\"t\" overlaps p"),
        (
            good[..good.len() - 4].to_vec(),
            "outside of the file's data",
        ),
        (raw_safetensors("not json", &[0; 50_000]), "can't be read"),
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
    let rig = Rig::serving(raw_safetensors(
        "{\"p\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        &[0; 4],
    ));
    let error = rig.load(&[("p", 1)]).unwrap_err();
    assert!(matches!(error, Error::TensorDtype { dtype, .. } if dtype == "I32"));
}

/// Loads a tensor of two values of a fixture, twice.
fn values_from_hub(fixture: &str, name: &str) -> Vec<f32> {
    let path = format!("{}/tests/fixtures/{fixture}", env!("CARGO_MANIFEST_DIR"));
    let rig = Rig::serving(std::fs::read(path).unwrap());
    let set = WeightSet::hub(REPOSITORY);
    let options = ReadOptions::new().hub(rig.options());
    let load = |name: &str| load_plain(&set, &[(name, vec![2])], &options);
    let values = flat(&load(name).unwrap()[0]);
    rig.ranges();
    load("none").unwrap_err();
    assert_eq!(rig.ranges(), [], "it is in the cache");
    values
}

#[test]
fn a_pytorch_file_is_fetched_whole_and_read() {
    let values = values_from_hub("pytorch/protocol2.pth", "conv.bias");
    assert_eq!(values, [1.5, -2.0]);
}

#[cfg(feature = "keras")]
#[test]
fn a_keras_file_is_fetched_whole_and_read() {
    let values = values_from_hub("keras/small2.h5", "out/bias");
    assert_eq!(values.len(), 2);
    assert_eq!(values, values_from_hub("keras/small.keras", "out/bias"));
}

#[cfg(not(feature = "keras"))]
#[test]
fn a_keras_file_is_not_fetched_without_its_feature() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/keras/small2.h5"
    );
    let rig = Rig::serving(std::fs::read(path).unwrap());
    let error = rig.load(&[P]).unwrap_err();
    assert!(
        error.to_string().contains("the feature \"keras\""),
        "{error}"
    );
    assert!(files_below(&rig.repository_folder()).is_empty());
}
