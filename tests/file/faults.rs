use candle_core::{DType, Device};
use serde_json::{Value, json};
use vgg_surgery::error::FileError;
use vgg_surgery::layers::Rescale;
use vgg_surgery::model::{LoadOptions, Registry};
use vgg_surgery::{Error, Model};

use crate::{Scale, built, images, scales, temporary, whole, with_custom};

type Change = Box<dyn FnOnce(&mut Value)>;

/// A file's metadata and the data after the header.
pub fn parted(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

pub fn joined(header: &Value, data: &[u8]) -> Vec<u8> {
    let text = header.to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes.extend(data);
    bytes
}

/// A sound file after a change of what describes the network.
pub fn with_record(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    changed(&built(&whole().truncate("block1_pool").unwrap()), change)
}

/// A model's file after a change of what describes the network.
pub fn changed(model: &Model, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut header, data) = parted(&model.to_bytes().unwrap());
    let text = header["__metadata__"]["vgg-surgery"].as_str().unwrap();
    let mut record: Value = serde_json::from_str(text).unwrap();
    change(&mut record);
    header["__metadata__"]["vgg-surgery"] = record.to_string().into();
    joined(&header, &data)
}

pub fn load(bytes: Vec<u8>) -> Error {
    Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap_err()
}

pub fn invalid(change: impl FnOnce(&mut Value)) -> String {
    match load(with_record(change)) {
        Error::File(FileError::InvalidGraph { reason, .. }) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn an_unchanged_record_loads() {
    let bytes = with_record(|_| {});
    let _ = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
}

#[test]
fn tensors_without_a_network_are_no_model() {
    let bytes = safetensors::serialize(Vec::<(&str, safetensors::tensor::TensorView)>::new(), None);
    let error = load(bytes.unwrap());
    assert!(
        matches!(error, Error::File(FileError::NoGraph { .. })),
        "{error}"
    );
}

#[test]
fn a_newer_version_is_told_apart_even_if_it_has_other_fields() {
    let bytes = with_record(|record| *record = json!({"version": 3, "network": []}));
    match load(bytes) {
        Error::File(FileError::NewerVersion {
            version, supported, ..
        }) => assert_eq!((version, supported), (3, 2)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_truncated_file_is_refused_at_any_length() {
    let bytes = with_record(|_| {});
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = load(bytes[..length].to_vec());
        assert!(
            matches!(error, Error::InvalidWeights { .. }),
            "{length}: {error}"
        );
    }
    let folder = temporary();
    let path = folder.path().join("cut.safetensors");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = Model::load(&path, &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("cut.safetensors"), "{error}");
    let error = Model::load(folder.path().join("none"), &Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let error = Model::load(folder.path(), &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(100, 0);
    let error = load(zip);
    assert!(error.to_string().contains("as PyTorch writes"), "{error}");
}

#[test]
fn a_network_that_can_not_be_is_refused() {
    fn nodes(record: &mut Value) -> &mut Vec<Value> {
        record["graph"]["nodes"].as_array_mut().unwrap()
    }
    let cases: [(&str, Change); 12] = [
        ("missing field", Box::new(|r| *r = json!({"version": 1}))),
        (
            "is not a type of parameters",
            Box::new(|r| r["dtype"] = "I8".into()),
        ),
        ("unknown field", Box::new(|r| r["graph"]["more"] = 1.into())),
        (
            "no layer \"x\"",
            Box::new(|r| r["graph"]["outputs"] = json!(["x"])),
        ),
        ("no output", Box::new(|r| r["graph"]["outputs"] = json!([]))),
        (
            "no output depends",
            Box::new(|r| {
                r["graph"]["outputs"] = json!(["block1_conv2"]);
            }),
        ),
        (
            "not before it",
            Box::new(|r| {
                r["graph"]["nodes"][1]["inputs"] = json!(["block1_pool"]);
            }),
        ),
        (
            "can't name a layer",
            Box::new(|r| r["graph"]["nodes"][0]["name"] = "".into()),
        ),
        (
            "two layers",
            Box::new(|r| r["graph"]["nodes"][2]["name"] = "block1_conv1".into()),
        ),
        (
            "one input",
            Box::new(|r| {
                nodes(r)[1]["layer"] = json!({"kind": "Input", "settings": {"shape": [4, 1, 1]}});
            }),
        ),
        (
            "unknown variant",
            Box::new(|r| nodes(r)[1]["layer"]["kind"] = "Conv9".into()),
        ),
        (
            "must be from 1",
            Box::new(|r| {
                nodes(r)[1]["layer"]["settings"]["kernel_size"] = json!([0, 3]);
            }),
        ),
    ];
    for (expected, change) in cases {
        let reason = invalid(change);
        assert!(
            reason.contains(expected),
            "{reason} does not say {expected}"
        );
    }
    let labels = invalid(|record| {
        let labels = json!({"names": ["a", "b"], "synsets": null});
        record["graph"]["labels"] = json!({"layer": "block1_pool", "labels": labels});
    });
    assert!(labels.contains("2 labels for 4 classes"), "{labels}");
    let many = invalid(|record| {
        let all = nodes(record);
        *all = vec![all[0].clone(); 10_001];
    });
    assert!(many.contains("10000"), "{many}");
}

#[test]
fn tensors_that_disagree_with_the_network_are_told() {
    let model = built(&whole().truncate("block1_pool").unwrap());
    let (header, data) = parted(&model.to_bytes().unwrap());
    let cases: [(&str, Change); 3] = [
        (
            "is not among the tensors",
            Box::new(|header| {
                let bias = header["block1_conv1.bias"].take();
                header.as_object_mut().unwrap().remove("block1_conv1.bias");
                header["block1_conv1.other"] = bias;
            }),
        ),
        (
            "needs [4, 4, 3, 3]",
            Box::new(|header| {
                header["block1_conv2.weight"]["shape"] = json!([4, 3, 4, 3]);
            }),
        ),
        (
            "is not a parameter",
            Box::new(|header| {
                let end = header["block1_conv2.weight"]["data_offsets"][1].clone();
                header["more"] = json!({"dtype": "F32", "shape": [0], "data_offsets": [end, end]});
            }),
        ),
    ];
    for (expected, change) in cases {
        let mut changed = header.clone();
        change(&mut changed);
        let error = load(joined(&changed, &data));
        let disagreement = matches!(error, Error::File(FileError::Disagreement { .. }));
        assert!(
            disagreement && error.to_string().contains(expected),
            "{error}"
        );
    }
}

/// A file that says of a parameter what it says of rounded ones.
fn with_rounded(key: &str, source: usize) -> Error {
    load(with_record(|record| {
        record["sources"] = json!([{"words": "an edit", "derived": true, "place": null}]);
        record["parameters"] = json!({key: {"source": source, "precision": "int8"}});
    }))
}

#[test]
fn a_source_that_the_file_does_not_name_is_refused() {
    match with_rounded("block1_conv1.weight", 1) {
        Error::File(FileError::InvalidGraph { reason, .. }) => {
            assert_eq!(reason, "\"block1_conv1.weight\" comes from source 1 of 1");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn only_matrices_are_of_whole_numbers() {
    for key in ["block1_conv1.weight", "block1_conv2.bias"] {
        match with_rounded(key, 0) {
            Error::File(FileError::Disagreement { tensor, reason, .. }) => {
                assert_eq!(tensor, key);
                assert_eq!(reason, "is int8, but not a matrix");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_tensor_of_integers_is_no_parameter() {
    let model = built(&whole().truncate("block1_pool").unwrap());
    let (mut header, data) = parted(&model.to_bytes().unwrap());
    header["block1_conv1.bias"]["dtype"] = "I32".into();
    let error = load(joined(&header, &data));
    assert!(matches!(error, Error::TensorDtype { .. }), "{error}");
}

#[test]
fn custom_layers_need_a_constructor_that_takes_their_settings() {
    let bytes = built(&with_custom()).to_bytes().unwrap();
    let other = LoadOptions::new().custom("Other", |_: &Value| Ok::<_, String>(Scale { by: 1.0 }));
    let error = Model::from_bytes(bytes.clone(), &Device::Cpu, &other).unwrap_err();
    assert_eq!(error.layer(), Some("scale"));
    match error {
        Error::File(FileError::UnknownKind { kind, known, .. }) => {
            assert_eq!((kind.as_str(), known), ("Scale", vec!["Other".to_string()]));
        }
        other => panic!("{other}"),
    }
    let refusing = LoadOptions::new().custom("Scale", |_: &Value| Err::<Scale, _>("never"));
    let error = Model::from_bytes(bytes.clone(), &Device::Cpu, &refusing).unwrap_err();
    match error {
        Error::File(FileError::CustomSettings { reason, .. }) => assert_eq!(reason, "never"),
        other => panic!("{other}"),
    }
    let _ = Model::from_bytes(bytes, &Device::Cpu, &scales()).unwrap();
}

#[test]
fn settings_that_json_can_not_say_are_refused_on_the_way_out() {
    let graph = whole().truncate("block1_pool").unwrap();
    let graph = graph
        .attach(Rescale::new(f32::INFINITY, 0.0).named("rescale"))
        .unwrap();
    let error = built(&graph).to_bytes().unwrap_err();
    assert!(
        matches!(&error, Error::File(FileError::Unwritable { .. })),
        "{error}"
    );
    assert_eq!(error.layer(), Some("rescale"));
}

#[test]
fn a_type_that_holds_no_weights_is_refused() {
    let bytes = with_record(|_| {});
    let options = LoadOptions::new().dtype(DType::U8);
    let error = Model::from_bytes(bytes, &Device::Cpu, &options).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let folder = temporary();
    let path = folder.path().join("model");
    let model = built(&whole().truncate("block1_pool").unwrap());
    std::fs::create_dir(&path).unwrap();
    let error = model.save(&path).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1);
    model.forward(&images((1, 3, 4, 4))).unwrap();
}

#[test]
fn a_registry_adds_to_what_was_registered() {
    let bytes = built(&with_custom()).to_bytes().unwrap();
    let both = scales().registry(Registry::new());
    let _ = Model::from_bytes(bytes, &Device::Cpu, &both).unwrap();
}

/// Opening the pipe waited for ever.
#[test]
#[cfg(unix)]
fn a_pipe_or_a_device_is_no_model() {
    let folder = temporary();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let device = folder.path().join("device");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    for path in [&pipe, &device] {
        let loaded = Model::load(path, &Device::Cpu).unwrap_err();
        let mut model = built(&whole());
        let weights = model.load_weights(path).unwrap_err();
        let graph = vgg_surgery::Vgg16::pretrained_from(path);
        let graph = graph.truncate("block1_pool").unwrap();
        let pretrained = graph.build(&Device::Cpu).unwrap_err();
        let saved = built(&whole()).save(path).unwrap_err();
        for error in [loaded, weights, pretrained, saved] {
            let is_told = matches!(error, Error::File(FileError::NotAFile { .. }));
            assert!(is_told, "{error}");
        }
    }
}
