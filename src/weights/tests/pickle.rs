//! The files are made by tests/fixtures/make_weights_pth.py.

use std::path::{Path, PathBuf};

use super::super::ReadOptions;
use super::{flat, load_plain};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn load(path: impl AsRef<Path>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let set = WeightSet::file(path);
    let loaded = load_plain(&set, &[(name, shape.to_vec())], &ReadOptions::new())?;
    Ok(flat(&loaded[0]))
}

#[test]
fn a_state_dict_is_read_plain_or_wrapped() {
    for name in ["weights.pth", "wrapped.pth", "checkpoint.pth"] {
        let path = fixture(name);
        let weight = load(&path, "conv.weight", &[2, 6]).unwrap();
        let expected: Vec<f32> = (0..12).map(|index| index as f32 / 4.0).collect();
        assert_eq!(weight, expected);
        assert_eq!(load(&path, "conv.bias", &[2]).unwrap(), [1.5, -2.0]);
    }
}

#[test]
fn a_pickle_is_known_by_its_first_bytes_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["best.pth.tar", "last.ckpt", "VGG16.PTH", "weights"] {
        let path = folder.path().join(name);
        std::fs::copy(fixture("weights.pth"), &path).unwrap();
        assert_eq!(load(&path, "conv.bias", &[2]).unwrap(), [1.5, -2.0]);
    }
}

#[test]
fn tensors_beside_a_wrapped_state_dict_are_read_too() {
    let best = load(fixture("checkpoint.pth"), "best_acc1", &[]).unwrap();
    assert_eq!(best, [71.5]);
}

#[test]
fn what_is_not_as_wanted_is_an_error() {
    let path = fixture("weights.pth");
    let error = load(&path, "conv.weight", &[6, 2]).unwrap_err();
    assert!(matches!(error, Error::TensorShape { actual, .. } if actual == [2, 6]));
    let error = load(&path, "conv.weigth", &[2, 6]).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { nearest, .. } if nearest[0] == "conv.weight"));
    let error = load(&path, "steps", &[1]).unwrap_err();
    assert!(matches!(error, Error::TensorDtype { dtype, .. } if dtype == "i64"));
}

#[test]
fn views_and_shapes_beyond_the_file_are_refused() {
    let path = fixture("views.pth");
    for (name, shape, expected) in [
        ("view", &[4][..], "is a view into another"),
        ("large", &[1 << 20, 1 << 10], "is larger than the file"),
    ] {
        match load(&path, name, shape).unwrap_err() {
            Error::InvalidWeights { reason, .. } => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let error = load(&path, "w", &[1]).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");

    let good = std::fs::read(fixture("weights.pth")).unwrap();
    for bytes in [&b""[..], b"\x80\x02}q\x00.", &good[..good.len() / 2]] {
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path, "conv.bias", &[2]).unwrap_err();
        assert!(matches!(error, Error::InvalidWeights { .. }), "{error}");
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    let good = std::fs::read(fixture("weights.pth")).unwrap();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 0x15;
        std::fs::write(&path, bytes).unwrap();
        match load(&path, "conv.weight", &[2, 6]) {
            Ok(values) => assert_eq!(values.len(), 12),
            Err(error) => assert!(!matches!(error, Error::Io { .. }), "{error}"),
        }
    }
}
