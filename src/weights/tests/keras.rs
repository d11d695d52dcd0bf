//! The files are made by Keras and h5py; see tests/fixtures/keras/make.py.

use std::path::{Path, PathBuf};

use candle_core::DType;

use super::super::{ReadOptions, Wanted, load};
use super::{flat, load_plain};
use crate::error::{Error, Result};
use crate::graph::{Layout, WeightKey, WeightSet};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/keras")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn load_from(set: &WeightSet, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let loaded = load_plain(set, &[(name, shape.to_vec())], &ReadOptions::new())?;
    Ok(flat(&loaded[0].to_dtype(DType::F32)?))
}

fn read(file: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    load_from(&WeightSet::file(fixture(file)), name, shape)
}

fn reason(error: Error) -> String {
    match error {
        Error::InvalidWeights { reason, file } => {
            assert!(file.contains("fixtures/keras") || file.contains("in memory"));
            reason
        }
        other => panic!("{other}"),
    }
}

/// What Keras gave a parameter of the small model, in PyTorch's layout.
fn golden(name: &str, shape: &[usize]) -> Vec<f32> {
    read("small.golden.safetensors", name, shape).unwrap()
}

/// Reads a kernel out of Keras' layout.
fn read_kernel(set: &WeightSet, name: &str, layout: Layout, shape: &[usize]) -> Vec<f32> {
    let name = name.to_string();
    let keys = [WeightKey { name, layout }];
    let wanted = [Wanted {
        keys: &keys,
        shape,
        is_optional: false,
    }];
    let loaded = load(set, &wanted, &ReadOptions::new()).unwrap();
    flat(
        &loaded[0]
            .as_ref()
            .unwrap()
            .tensor
            .to_dtype(DType::F32)
            .unwrap(),
    )
}

#[test]
fn every_format_gives_the_values_that_keras_had() {
    for file in ["small.keras", "small.h5", "small2.h5", "small2.weights.h5"] {
        let is_unnamed = file == "small2.weights.h5";
        let (conv, norm, out) = match is_unnamed {
            true => (
                "functional/conv2d",
                "functional/batch_normalization",
                "dense",
            ),
            false => ("trunk/block1_conv1", "trunk/block1_bn1", "out"),
        };
        let set = WeightSet::file(fixture(file));
        let kernel = format!("{conv}/kernel");
        let kernel = read_kernel(&set, &kernel, Layout::Hwio, &[2, 3, 3, 3]);
        assert_eq!(kernel, golden("conv", &[2, 3, 3, 3]), "{file}");
        let kernel = read_kernel(&set, &format!("{out}/kernel"), Layout::InOut, &[2, 2]);
        assert_eq!(kernel, golden("out", &[2, 2]), "{file}");
        for (name, expected) in [
            (format!("{conv}/bias"), "conv_bias"),
            (format!("{norm}/gamma"), "gamma"),
            (format!("{norm}/beta"), "beta"),
            (format!("{norm}/moving_mean"), "mean"),
            (format!("{norm}/moving_variance"), "variance"),
            (format!("{out}/bias"), "out_bias"),
        ] {
            let values = load_from(&set, &name, &[2]).unwrap();
            assert_eq!(values, golden(expected, &[2]), "{file}: {name}");
        }
    }
}

#[test]
fn bfloat16_is_read_as_keras_stores_it() {
    let set = WeightSet::file(fixture("bfloat16.weights.h5"));
    let mean = load_from(&set, "trunk/block1_bn1/moving_mean", &[2]).unwrap();
    let expected = golden("mean", &[2]);
    let rounded = expected
        .iter()
        .map(|&mean| half::bf16::from_f32(mean).to_f32());
    assert_eq!(mean, rounded.collect::<Vec<f32>>());
}

#[test]
fn types_and_layouts_are_read_or_named() {
    let values = [0.5, -1.25, 3.0];
    for name in ["a/float16", "a/float64"] {
        assert_eq!(read("types.h5", name, &[1, 3]).unwrap(), values);
    }
    for (name, expected) in [("a/int8", "i8"), ("a/big", "big-endian floats")] {
        let error = read("types.h5", name, &[1, 3]).unwrap_err();
        assert!(
            matches!(&error, Error::TensorDtype { dtype, .. } if dtype.contains(expected)),
            "{error}"
        );
    }
    for (name, expected) in [
        ("b/chunked", "h5repack"),
        ("b/packed", "h5repack"),
        ("b/unwritten", "was never written"),
    ] {
        let reason = reason(read("types.h5", name, &[1, 3]).unwrap_err());
        assert!(
            reason.contains(name) && reason.contains(expected),
            "{reason}"
        );
    }
}

/// What h5py writes with each of its filters; see make_h5py.py.
#[test]
fn filtered_values_are_refused_by_name() {
    let plain = read("filters.h5", "a/plain", &[8, 8]).unwrap();
    assert_eq!(plain, (0..64).map(|value| value as f32).collect::<Vec<_>>());
    for (name, expected) in [
        ("a/gzip", "in chunks, maybe compressed"),
        ("a/lzf", "in chunks, maybe compressed"),
        ("a/shuffle", "in chunks, maybe compressed"),
        ("a/fletcher32", "in chunks, maybe compressed"),
        ("a/all", "in chunks, maybe compressed"),
        ("a/compact", "within its header"),
    ] {
        let reason = reason(read("filters.h5", name, &[8, 8]).unwrap_err());
        assert!(reason.contains(name), "{reason}");
        assert!(
            reason.contains(expected) && reason.contains("h5repack"),
            "{reason}"
        );
    }
}

#[test]
fn the_contents_decide_and_not_the_name() {
    for file in ["small.keras", "small.h5"] {
        let set = WeightSet::bytes(bytes(file));
        assert_eq!(
            load_from(&set, "out/bias", &[2]).unwrap(),
            golden("out_bias", &[2])
        );
    }
}

#[test]
fn what_is_not_of_keras_is_named() {
    let compressed = {
        let mut archive = bytes("small.keras");
        let name = b"model.weights.h5";
        let places: Vec<usize> = (0..archive.len() - name.len())
            .filter(|&place| archive[place..].starts_with(name))
            .collect();
        // The method of compression, in the local header and in the list.
        archive[places[0] - 22] = 8;
        archive[places[1] - 36] = 8;
        archive
    };
    for (set, expected) in [
        (WeightSet::file(fixture("other.h5")), "no weights of Keras"),
        (WeightSet::file(fixture("missing.h5")), "block1_conv1"),
        (WeightSet::file(fixture("cyclic.h5")), "levels deep"),
        (
            WeightSet::bytes(b"\x89HDF\r\n\x1a\n".to_vec()),
            "damaged HDF5",
        ),
        (WeightSet::bytes(compressed), "compressed"),
    ] {
        let reason = reason(load_from(&set, "block1_conv1/kernel", &[1]).unwrap_err());
        assert!(reason.contains(expected), "{reason}");
    }
    // A list of names ends, wherever they lead.
    let values = read("lists_cyclic.h5", "a/a/a/w", &[1, 3]).unwrap();
    assert_eq!(values, [0.5, -1.25, 3.0]);
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for file in ["small2.h5", "small.keras", "types.h5"] {
        let good = bytes(file);
        for length in (0..good.len()).step_by(7) {
            let cut = WeightSet::bytes(&good[..length]);
            let error = load_from(&cut, "out/bias", &[2]).unwrap_err();
            assert!(matches!(error, Error::InvalidWeights { .. }), "{error}");
        }
    }
}

#[test]
fn no_damage_makes_it_panic() {
    for (file, name) in [
        ("small2.h5", "out/bias"),
        ("small2.weights.h5", "dense/bias"),
        ("types.h5", "a/float64"),
    ] {
        let good = bytes(file);
        let shape: &[usize] = if file == "types.h5" { &[1, 3] } else { &[2] };
        for place in 0..good.len() {
            for flip in [0x01, 0xff] {
                let mut bytes = good.clone();
                bytes[place] ^= flip;
                if let Err(error) = load_from(&WeightSet::bytes(bytes), name, shape) {
                    assert!(!matches!(error, Error::Io { .. }), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_tree_of_names_that_shares_its_branches_is_refused_at_once() {
    let mut bytes = bytes("small2.h5");
    let trees: Vec<usize> = (0..bytes.len())
        .filter(|&place| bytes[place..].starts_with(b"TREE"))
        .collect();
    // All 32 children of a node are the next node: 32^8 paths to the last.
    assert_eq!(trees.len(), 9);
    for pair in trees.windows(2) {
        let (place, next) = (pair[0], pair[1] as u64);
        bytes[place + 5] = 1;
        bytes[place + 6] = 32;
        for child in 0..32 {
            let child = place + 32 + 16 * child;
            bytes[child..child + 8].copy_from_slice(&next.to_le_bytes());
        }
    }
    let error = load_from(&WeightSet::bytes(bytes), "out/bias", &[2]).unwrap_err();
    let reason = reason(error);
    assert!(reason.contains("link in circles"), "{reason}");
}
