use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use super::super::{ReadOptions, Wanted, formats, load};
use super::{flat, key, load_plain, raw_safetensors, safetensors_of, values_of};
use crate::error::{Error, Result};
use crate::graph::{Layout, WeightKey, WeightSet};

fn options() -> ReadOptions {
    ReadOptions::new()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> WeightSet {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    WeightSet::file(path)
}

/// Loads one parameter that may be stored in a layout.
fn load_laid_out(stored: Tensor, layout: Layout, shape: &[usize]) -> Result<Tensor> {
    let set = WeightSet::tensors(HashMap::from([("w".to_string(), stored)]));
    let keys = [WeightKey {
        name: "w".to_string(),
        layout,
    }];
    let wanted = [Wanted {
        keys: &keys,
        shape,
        is_optional: false,
    }];
    Ok(load(&set, &wanted, &options())?.remove(0).unwrap().tensor)
}

#[test]
fn a_file_and_bytes_give_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let stored = [("conv.bias", vec![3]), ("conv.weight", vec![3, 2, 1, 1])];
    let bytes = safetensors_of(&stored);
    let from_file = write(folder.path(), "x.safetensors", &bytes);
    for set in [from_file, WeightSet::bytes(bytes)] {
        let wanted = [stored[1].clone(), stored[0].clone(), stored[1].clone()];
        let loaded = load_plain(&set, &wanted, &options()).unwrap();
        for (tensor, (name, shape)) in loaded.iter().zip(&wanted) {
            assert_eq!(tensor.dims(), shape);
            assert_eq!(flat(tensor), values_of(name, shape));
        }
    }
}

/// One that was written over gave tensors of before and after without an error.
#[test]
fn a_file_that_is_changed_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files = vec![safetensors_of(&[("a", vec![4])])];
    for name in ["pytorch/protocol5.pth", "pytorch/legacy.pth"] {
        files.push(std::fs::read(root.join(name)).unwrap());
    }
    for bytes in files {
        std::fs::write(&path, &bytes).unwrap();
        let open = formats::open(&path).unwrap();
        let keys = open.keys();
        // Not one of another type.
        let key = keys.iter().find(|key| open.read(&[key]).is_ok()).unwrap();
        let keys = [key.as_str()];
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
        file.set_modified(later).unwrap();
        match open.read(&keys) {
            Err(Error::InvalidWeights { reason, .. }) => {
                assert!(reason.contains("changed while it was read"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        file.set_len(bytes.len() as u64 - 1).unwrap();
        assert!(open.read(&keys).is_err());
    }
}

#[test]
fn data_at_odd_offsets_of_every_type_is_read() {
    let json = "{\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
                \"h\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},\
                \"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[12,14]},\
                \"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[14,22]}}";
    assert_eq!(json.len() % 2, 1, "so that no element is aligned");
    let data = [
        &1.5_f32.to_le_bytes()[..],
        &f32::NAN.to_le_bytes(),
        &[0x00, 0x3c, 0x00, 0xc0],
        &[0x40, 0x40],
        &0.1_f64.to_le_bytes(),
    ];
    let set = WeightSet::bytes(raw_safetensors(json, &data.concat()));
    let wanted = [
        ("f", vec![2]),
        ("h", vec![2]),
        ("b", vec![1]),
        ("d", vec![1]),
    ];
    let loaded = load_plain(&set, &wanted, &options()).unwrap();
    let dtypes: Vec<DType> = loaded.iter().map(Tensor::dtype).collect();
    assert_eq!(dtypes, [DType::F32, DType::F16, DType::BF16, DType::F64]);
    let f = flat(&loaded[0]);
    assert_eq!(f[0], 1.5);
    assert!(f[1].is_nan(), "not-a-numbers are weights like others");
    assert_eq!(flat(&loaded[1].to_dtype(DType::F32).unwrap()), [1.0, -2.0]);
    assert_eq!(flat(&loaded[2].to_dtype(DType::F32).unwrap()), [3.0]);
    assert_eq!(loaded[3].to_vec1::<f64>().unwrap(), [0.1]);
}

#[test]
fn the_first_candidate_that_fits_is_taken() {
    let set = WeightSet::bytes(safetensors_of(&[("a", vec![3]), ("b", vec![2])]));
    let keys = [key("none"), key("a"), key("b")];
    let load_shape = |shape: &[usize]| {
        load(
            &set,
            &[Wanted {
                keys: &keys,
                shape,
                is_optional: false,
            }],
            &options(),
        )
    };
    assert_eq!(
        flat(&load_shape(&[3]).unwrap()[0].as_ref().unwrap().tensor),
        values_of("a", &[3])
    );
    assert_eq!(
        flat(&load_shape(&[2]).unwrap()[0].as_ref().unwrap().tensor),
        values_of("b", &[2])
    );
    match load_shape(&[4]).err().unwrap() {
        Error::TensorShape {
            key,
            expected,
            actual,
            ..
        } => assert_eq!((key.as_str(), expected, actual), ("a", vec![4], vec![3])),
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_tensor_names_what_was_tried_and_what_is_near() {
    let set = WeightSet::bytes(safetensors_of(&[
        ("features.0.weight", vec![1]),
        ("features.2.weight", vec![1]),
        ("other", vec![1]),
    ]));
    let keys = [key("features.1.weight"), key("block1_conv1.weight")];
    let wanted = [Wanted {
        keys: &keys,
        shape: &[1],
        is_optional: false,
    }];
    match load(&set, &wanted, &options()).err().unwrap() {
        Error::MissingTensor {
            key,
            tried,
            nearest,
            file,
            holds,
            ..
        } => {
            assert_eq!(key, "features.1.weight");
            assert_eq!(*tried, ["block1_conv1.weight"]);
            assert_eq!(nearest, ["features.0.weight", "features.2.weight"]);
            assert!(file.ends_with("bytes in memory"));
            assert_eq!(
                holds.first,
                ["features.0.weight", "features.2.weight", "other"]
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_wrong_type_is_an_error_only_for_what_is_wanted() {
    let json = "{\"n\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},\
                \"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
    let set = WeightSet::bytes(raw_safetensors(json, &[0; 12]));
    load_plain(&set, &[("w", vec![1])], &options()).unwrap();
    let error = load_plain(&set, &[("n", vec![1])], &options()).unwrap_err();
    assert!(matches!(error, Error::TensorDtype { key, dtype, .. } if key == "n" && dtype == "I64"));
}

#[test]
fn layouts_are_undone() {
    let device = &Device::Cpu;
    // Keras' (kH, kW, I, O): element [h][w][i][o] has value 1000 h + 100 w + 10 i + o.
    let mut hwio = Vec::new();
    for h in 0..2 {
        for w in 0..3 {
            for i in 0..4 {
                for o in 0..5 {
                    hwio.push((1000 * h + 100 * w + 10 * i + o) as f32);
                }
            }
        }
    }
    let kernel = Tensor::from_vec(hwio.clone(), (2, 3, 4, 5), device).unwrap();
    let loaded = load_laid_out(kernel, Layout::Hwio, &[5, 4, 2, 3]).unwrap();
    let filter = |output| loaded.get(output).unwrap().to_vec3::<f32>().unwrap();
    assert_eq!(filter(4)[2][1][0], 1024.0);
    assert_eq!(filter(0)[3][0][2], 230.0);

    // The same memory as a dense kernel after a channels-last flatten of 2x3x4.
    let dense = Tensor::from_vec(hwio, (24, 5), device).unwrap();
    let layout = Layout::InOutHwc {
        channels: 4,
        height: 2,
        width: 3,
    };
    let loaded = load_laid_out(dense.clone(), layout, &[5, 24]).unwrap();
    // Row o, column c * H * W + h * W + w.
    let rows = loaded.to_vec2::<f32>().unwrap();
    assert_eq!(rows[4][2 * 6 + 3], 1024.0);
    assert_eq!(rows[0][3 * 6 + 2], 230.0);

    let plain = load_laid_out(dense, Layout::InOut, &[5, 24]).unwrap();
    assert_eq!(plain.to_vec2::<f32>().unwrap()[4][14], 1024.0);

    let conv = Tensor::arange(0f32, 48., device).unwrap();
    let layout = Layout::DenseAsConv {
        channels: 3,
        height: 2,
        width: 4,
    };
    let stored = conv.reshape((2, 3, 2, 4)).unwrap();
    let loaded = load_laid_out(stored, layout, &[2, 24]).unwrap();
    assert_eq!(flat(&loaded), flat(&conv));
}

#[test]
fn a_layout_that_can_not_be_undone_is_a_wrong_shape() {
    let stored = Tensor::zeros((2, 3, 2, 4), DType::F32, &Device::Cpu).unwrap();
    let layout = Layout::DenseAsConv {
        channels: 3,
        height: 2,
        width: 4,
    };
    let error = load_laid_out(stored, layout, &[2, 25]).unwrap_err();
    assert!(matches!(error, Error::TensorShape { .. }), "{error}");
}

#[test]
fn tensors_in_memory_are_copied_and_left_alone() {
    let var = Var::from_slice(&[1f32, 2.], 2, &Device::Cpu).unwrap();
    let set = WeightSet::tensors(HashMap::from([
        ("w".to_string(), var.as_tensor().clone()),
        ("n".to_string(), Tensor::new(&[1u32], &Device::Cpu).unwrap()),
    ]));
    let loaded = load_plain(&set, &[("w", vec![2])], &options()).unwrap();
    var.set(&Tensor::new(&[8f32, 9.], &Device::Cpu).unwrap())
        .unwrap();
    assert_eq!(flat(&loaded[0]), [1., 2.]);
    assert!(!loaded[0].is_variable());
    let error = load_plain(&set, &[("n", vec![1])], &options()).unwrap_err();
    assert!(matches!(error, Error::TensorDtype { dtype, .. } if dtype == "u32"));
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = [("w", vec![1])];
    let missing = WeightSet::file(folder.path().join("none.safetensors"));
    let error = load_plain(&missing, &wanted, &options()).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path.ends_with("none.safetensors")));

    let good = safetensors_of(&[("w", vec![1])]);
    for bytes in [&b""[..], b"abc", &good[..good.len() - 1]] {
        let set = write(folder.path(), "bad.safetensors", bytes);
        let error = load_plain(&set, &wanted, &options()).unwrap_err();
        assert!(matches!(error, Error::InvalidWeights { .. }), "{error}");
    }
    let folder_as_file = WeightSet::file(folder.path());
    assert!(load_plain(&folder_as_file, &wanted, &options()).is_err());
}

#[test]
fn nothing_wanted_reads_nothing() {
    let missing = WeightSet::file("none.safetensors");
    assert!(load(&missing, &[], &options()).unwrap().is_empty());
}

#[cfg(not(feature = "hub"))]
#[test]
fn a_hub_needs_its_feature() {
    let error = load_plain(&WeightSet::hub("a/b"), &[("w", vec![1])], &options()).unwrap_err();
    assert!(matches!(
        error,
        Error::MissingFeature { feature: "hub", .. }
    ));
}
