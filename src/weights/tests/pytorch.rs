//! The files are made by PyTorch; see tests/fixtures/pytorch/make.py.

use std::path::{Path, PathBuf};

use candle_core::DType;

use super::super::ReadOptions;
use super::{flat, load_plain};
use crate::error::{Error, Result};
use crate::graph::WeightSet;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/pytorch")
        .join(name)
}

fn load_from(set: &WeightSet, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let loaded = load_plain(set, &[(name, shape.to_vec())], &ReadOptions::new())?;
    Ok(flat(&loaded[0].to_dtype(DType::F32)?))
}

fn load(file: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    load_from(&WeightSet::file(fixture(file)), name, shape)
}

fn reason(error: Error) -> String {
    match error {
        Error::InvalidWeights { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

/// What make.py gives `conv.weight`.
fn weight() -> Vec<f32> {
    (0..24).map(|index| index as f32 / 4.0).collect()
}

#[test]
fn every_layout_gives_the_values_that_pytorch_wrote() {
    let files = [
        "legacy.pth",
        "legacy4.pth",
        "protocol2.pth",
        "protocol5.pth",
        "checkpoint.pth.tar",
        "nested.ckpt",
    ];
    for file in files {
        let read = load(file, "conv.weight", &[2, 3, 2, 2]).unwrap();
        assert_eq!(read, weight(), "{file}");
        assert_eq!(
            load(file, "conv.bias", &[2]).unwrap(),
            [1.5, -2.0],
            "{file}"
        );
    }
    let parameter = load("parameters.pth", "weight", &[2, 3, 2, 2]).unwrap();
    assert_eq!(parameter, weight(), "a tensor inside of nn.Parameter");
}

#[test]
fn views_of_one_storage_are_read_by_their_strides() {
    for file in ["views.pth", "views_legacy.pth"] {
        let read = |name, shape: &[usize]| load(file, name, shape).unwrap();
        assert_eq!(read("part", &[2, 3]), [2., 3., 4., 5., 6., 7.]);
        assert_eq!(read("end", &[4]), [20., 21., 22., 23.]);
        assert_eq!(read("even", &[3]), [0., 2., 4.]);
        assert_eq!(read("repeated", &[4]), [5.; 4]);
        assert_eq!(read("channels_last", &[2, 3, 2, 2]), weight());
        let turned = read("turned", &[4, 6]);
        assert_eq!(turned[..7], [0., 4., 8., 12., 16., 20., 1.]);
        assert_eq!(turned[23], 23.);
    }
}

#[test]
fn every_type_of_weights_is_read_and_counters_are_named() {
    for file in ["types.pth", "types_legacy.pth"] {
        for name in ["float64", "float16", "bfloat16"] {
            assert_eq!(load(file, name, &[3]).unwrap(), [0.5, -1.25, 3.0]);
        }
        for (name, count, expected) in
            [("int64", 2, "I64"), ("uint8", 1, "U8"), ("bool", 1, "BOOL")]
        {
            let error = load(file, name, &[count]).unwrap_err();
            assert!(matches!(error, Error::TensorDtype { dtype, .. } if dtype == expected));
        }
    }
}

#[test]
fn the_contents_decide_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["legacy.pth", "protocol2.pth"] {
        for name in ["best.safetensors", "last.bin", "VGG16.PT", "weights"] {
            let path = folder.path().join(name);
            std::fs::copy(fixture(file), &path).unwrap();
            let read = load_from(&WeightSet::file(&path), "conv.bias", &[2]);
            assert_eq!(read.unwrap(), [1.5, -2.0]);
        }
        let bytes = std::fs::read(fixture(file)).unwrap();
        let read = load_from(&WeightSet::bytes(bytes), "conv.bias", &[2]);
        assert_eq!(read.unwrap(), [1.5, -2.0]);
    }
}

#[test]
fn a_pickled_network_is_named_with_what_to_do() {
    for (file, class) in [
        ("whole_model.pth", "torch.nn.modules.container.Sequential"),
        ("whole_model_legacy.pth", "__main__.Net"),
    ] {
        let error = load(file, "0.weight", &[1, 1, 1, 1]).unwrap_err();
        let reason = reason(error);
        assert!(reason.contains(class), "{reason}");
        assert!(reason.contains("state_dict()"));
    }
}

/// Such tensors were reported as missing.
#[test]
fn sparse_and_quantized_tensors_are_named_by_their_type() {
    for file in ["layouts.pth", "layouts_legacy.pth"] {
        for (name, shape, expected) in [
            ("coo", &[2][..], "sparse F32"),
            ("csr", &[4, 6], "sparse F32"),
            ("quantized", &[2], "quantized I8"),
        ] {
            let error = load(file, name, shape).unwrap_err();
            assert!(
                matches!(&error, Error::TensorDtype { dtype, .. } if dtype == expected),
                "{error}"
            );
        }
        assert_eq!(load(file, "weight", &[2, 3, 2, 2]).unwrap(), weight());
    }
}

#[test]
fn what_is_not_as_wanted_is_an_error() {
    let error = load("legacy.pth", "conv.weight", &[3, 2, 2, 2]).unwrap_err();
    assert!(matches!(error, Error::TensorShape { actual, .. } if actual == [2, 3, 2, 2]));
    let error = load("legacy.pth", "conv.weigth", &[2, 3, 2, 2]).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { nearest, .. } if nearest[0] == "conv.weight"));
    let error = load("none.pth", "w", &[1]).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

/// The legacy format has no checksum that hides the change.
#[test]
fn no_damage_makes_it_panic() {
    for file in ["legacy.pth", "checkpoint.pth.tar", "views_legacy.pth"] {
        let good = std::fs::read(fixture(file)).unwrap();
        let name = if file.starts_with("views") {
            "channels_last"
        } else {
            "conv.weight"
        };
        for place in 0..good.len() {
            for flip in [0x01, 0x15, 0xff] {
                let mut bytes = good.clone();
                bytes[place] ^= flip;
                match load_from(&WeightSet::bytes(bytes), name, &[2, 3, 2, 2]) {
                    Ok(values) => assert_eq!(values.len(), 24),
                    Err(error) => assert!(!matches!(error, Error::Io { .. }), "{error}"),
                }
            }
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for file in ["legacy.pth", "protocol2.pth", "views_legacy.pth"] {
        let good = std::fs::read(fixture(file)).unwrap();
        for length in 0..good.len() {
            let cut = WeightSet::bytes(&good[..length]);
            let error = load_from(&cut, "conv.bias", &[2]).unwrap_err();
            assert!(matches!(error, Error::InvalidWeights { .. }), "{error}");
        }
    }
}

#[test]
fn damaged_values_in_an_archive_are_refused_by_their_checksum() {
    let mut bytes = std::fs::read(fixture("protocol2.pth")).unwrap();
    let values: Vec<u8> = weight()
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut windows = bytes.windows(values.len());
    let begin = windows.position(|window| window == values).unwrap();
    bytes[begin + 5] ^= 1;
    let set = WeightSet::bytes(bytes);
    let error = load_from(&set, "conv.weight", &[2, 3, 2, 2]).unwrap_err();
    assert!(reason(error).contains("checksum"));
    assert_eq!(load_from(&set, "conv.bias", &[2]).unwrap(), [1.5, -2.0]);
}

/// A legacy file of one object and no storages.
fn legacy_of(object: &[u8]) -> WeightSet {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let parts = [
        magic,
        &b"\x80\x02M\xe9\x03."[..],
        b"\x80\x02}.",
        object,
        b"\x80\x02].",
    ];
    WeightSet::bytes(parts.concat())
}

#[test]
fn bombs_are_refused_at_once() {
    // A tuple of the one before, twice: 2^32 values, if each were visited.
    let mut doubling = b"\x80\x02)q\x00".to_vec();
    for slot in 0..32 {
        doubling.extend([b'h', slot, b'h', slot, 0x86, b'q', slot + 1]);
    }
    doubling.push(b'.');
    // A list in a list in a list, and a list that contains itself.
    let deep = [&b"\x80\x02"[..], &[b']'; 5000], &[b'a'; 4999], b"."].concat();
    let itself = b"\x80\x02]q\x00h\x00a.".to_vec();
    // A long name in front of many names.
    let mut names = b"\x80\x02}X\x00\x00\x10\x00".to_vec();
    names.extend(vec![b'x'; 1 << 20]);
    names.push(b'}');
    for index in 0..1000u16 {
        names.push(b'M');
        names.extend(index.to_le_bytes());
        names.extend(b"}s");
    }
    names.extend(b"s.");
    for (object, expected) in [
        (doubling, "no dictionary of tensors"),
        (deep, "levels deep"),
        (itself, "no dictionary of tensors"),
        (names, "names take more than"),
        (b"\x80\x02X\xff\xff\xff\xff.".to_vec(), "ends too early"),
        (
            b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.".to_vec(),
            "no dictionary",
        ),
        (b"\x80\x02h\x07.".to_vec(), "refers to a value"),
        (b"\x80\x02(0.".to_vec(), "takes more values"),
        (b"\x80\x02\xfe.".to_vec(), "operation 0xfe"),
    ] {
        let error = load_from(&legacy_of(&object), "w", &[1]).unwrap_err();
        let reason = reason(error);
        assert!(reason.contains(expected), "{reason}");
    }
}
