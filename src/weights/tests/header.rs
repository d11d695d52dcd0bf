use proptest::prelude::*;

use super::super::formats::Safetensors;
use super::super::formats::header::Entry;
use super::{raw_safetensors, safetensors_of};
use crate::error::Error;

fn reason(bytes: &[u8]) -> String {
    match Safetensors::from_bytes(bytes.into()).map(drop) {
        Err(Error::InvalidWeights { file, reason }) => {
            assert_eq!(file, format!("{} bytes in memory", bytes.len()));
            reason
        }
        other => panic!("{other:?}"),
    }
}

fn tensor(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
    format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}")
}

#[test]
fn what_the_safetensors_crate_writes_is_read_as_it_reads_it() {
    let bytes = safetensors_of(&[("b", vec![2, 3]), ("a", vec![4]), ("empty", vec![0, 2])]);
    let read = Safetensors::from_bytes(bytes.as_slice().into()).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensors().len(), theirs.len());
    for (name, view) in theirs.tensors() {
        let Entry {
            dtype,
            shape,
            begin,
            end,
        } = &read.tensors()[&name];
        assert_eq!(dtype, "F32");
        assert_eq!(shape, view.shape());
        assert_eq!(&bytes[*begin as usize..*end as usize], view.data());
    }
}

#[test]
fn an_hdf5_file_is_named_as_one() {
    let bytes = [b"\x89HDF\r\n\x1a\n".as_slice(), &[0; 64]].concat();
    assert!(reason(&bytes).starts_with("it is an HDF5 file"));
}

#[test]
fn a_header_of_a_terabyte_is_refused_before_anything_is_allocated() {
    let mut bytes = (1_u64 << 40).to_le_bytes().to_vec();
    bytes.extend(b"{}");
    assert!(reason(&bytes).contains("which is the limit"));
    assert!(reason(&u64::MAX.to_le_bytes()).contains("more than 100000000 bytes"));
    assert!(
        reason(&99_u64.to_le_bytes()).contains("it has 8 bytes, fewer than its header would take")
    );
    assert!(reason(b"short").contains("too few"));
    assert!(reason(b"").contains("too few"));
}

#[test]
fn offsets_must_be_sound() {
    let a = |shape: &str, offsets: &str| tensor("a", "F32", shape, offsets);
    let b = |shape: &str, offsets: &str| tensor("b", "F32", shape, offsets);
    let sound = a("[2]", "[0,8]");
    let outside = "outside of the file's data";
    for (tensors, data, expected) in [
        (vec![sound.clone()], 9, "its header describes"),
        (vec![sound.clone()], 7, outside),
        (
            vec![sound.clone(), b("[2]", "[4,12]")],
            12,
            "\"b\" overlaps a",
        ),
        (
            vec![sound.clone(), b("[1]", "[12,16]")],
            16,
            "\"b\" leaves a hole after a",
        ),
        (vec![a("[2]", "[8,0]")], 8, outside),
        (
            vec![a("[2]", "[18446744073709551608,18446744073709551615]")],
            8,
            outside,
        ),
        (vec![a("[3]", "[0,8]")], 8, "8 bytes, not [3] of F32"),
        (
            vec![a("[4611686018427387905,4]", "[0,16]")],
            16,
            "16 bytes, not [4611686018427387905, 4] of F32",
        ),
        (vec![sound.clone(), sound], 8, "\"a\" occurs twice"),
        (vec![a("[-2]", "[0,8]")], 8, "can't be read"),
    ] {
        let json = format!("{{{}}}", tensors.join(","));
        let reason = reason(&raw_safetensors(&json, &vec![0; data]));
        assert!(reason.contains(expected), "{json}: {reason}");
    }
    for json in ["{", "[]"] {
        let reason = reason(&raw_safetensors(json, &[]));
        assert!(reason.contains("can't be read"), "{reason}");
    }
}

#[test]
fn types_that_are_no_weights_may_stand_in_the_file() {
    let steps = tensor("steps", "I64", "[]", "[0,8]");
    let odd = tensor("odd", "F4", "[3]", "[8,10]");
    let file = raw_safetensors(&format!("{{{steps},{odd}}}"), &[0; 10]);
    let read = Safetensors::from_bytes(file.into()).unwrap();
    assert_eq!(read.tensors()["steps"].dtype, "I64");
    assert_eq!(read.tensors()["odd"].bytes(), 2);
}

/// What the safetensors crate accepts we accept, and read alike; whatever else
/// we accept lies within the file.
fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = Safetensors::from_bytes(bytes.into());
    if let Ok(read) = &ours {
        for entry in read.tensors().values() {
            prop_assert!(entry.begin <= entry.end && entry.end <= bytes.len() as u64);
        }
    }
    if let Ok(theirs) = safetensors::SafeTensors::deserialize(bytes) {
        let ours = ours.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(ours.tensors().len(), theirs.len());
        for (name, view) in theirs.tensors() {
            prop_assert_eq!(&ours.tensors()[&name].shape, view.shape());
            prop_assert_eq!(ours.tensors()[&name].bytes(), view.data().len() as u64);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes(json in prop::collection::vec(any::<u8>(), 0..100)) {
        compare(&json)?;
        compare(&raw_safetensors(&String::from_utf8_lossy(&json), &[0; 4]))?;
    }

    #[test]
    fn any_damage_to_a_good_file(
        place in 0usize..250,
        byte in any::<u8>(),
        cut in 0usize..250,
    ) {
        let mut bytes = safetensors_of(&[("a", vec![2, 3]), ("b", vec![4])]);
        compare(&bytes)?;
        let place = place % bytes.len();
        bytes[place] = byte;
        compare(&bytes)?;
        bytes.truncate(cut);
        compare(&bytes)?;
    }
}

/// Without escapes they would color a terminal.
#[test]
fn control_characters_of_names_and_types_are_escaped() {
    let entry = |key: &str, dtype: &str| {
        let json = format!("{{{}}}", tensor(key, dtype, "[1]", "[0,4]"));
        raw_safetensors(&json, &[0; 4])
    };
    let bytes = entry("\\u001b[31mred", "F9\\u0007");
    let read = Safetensors::from_bytes(bytes.as_slice().into()).unwrap();
    let (name, Entry { dtype, .. }) = read.tensors().first_key_value().unwrap();
    assert_eq!(
        (name.as_str(), dtype.as_str()),
        ("\\u{1b}[31mred", "F9\\u{7}")
    );
    let error = reason(&entry("\\u001b[31mred", "F64"));
    assert!(
        error.starts_with("tensor \"\\u{1b}[31mred\" takes"),
        "{error}"
    );
}
