use std::collections::HashMap;
use std::io::Write;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::{Error, Model, Vgg16, WeightSet};

/// The error of a network that is to be read from these bytes.
fn error_of(bytes: &[u8]) -> Error {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let graph = Vgg16::pretrained_from(file.path())
        .truncate("block1_conv1")
        .unwrap();
    graph.build(&Device::Cpu).unwrap_err()
}

/// A zip archive of one empty member, which no checksum guards.
fn archive_of(name: &str) -> Vec<u8> {
    let length = (name.len() as u16).to_le_bytes();
    let local = [
        b"PK\x03\x04\x14\0".as_slice(),
        &[0; 20],
        &length,
        &[0; 2],
        name.as_bytes(),
    ]
    .concat();
    let central = [
        b"PK\x01\x02\x14\0\x14\0".as_slice(),
        &[0; 20],
        &length,
        &[0; 16],
        name.as_bytes(),
    ];
    let central = central.concat();
    let sizes = [
        (central.len() as u32).to_le_bytes(),
        (local.len() as u32).to_le_bytes(),
    ];
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(),
        &sizes.concat(),
        &[0; 2],
    ]
    .concat();
    [local, central, end].concat()
}

#[test]
fn files_of_other_formats_are_named_with_what_to_do() {
    let tar = [&[b'x'; 257][..], b"ustar\x0000", &[0; 247]].concat();
    let caffe = [b"\x0a\x15VGG_ILSVRC_16_layers\x00\x12", &[1u8; 99][..]].concat();
    let caffe = caffe
        .iter()
        .map(|&byte| if byte == 0 { b'!' } else { byte })
        .collect();
    let table = [&[7u8; 99][..], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"].concat();
    let cases: [(Vec<u8>, &str, &str); 16] = [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 553\n".to_vec(),
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        (
            b"<!DOCTYPE html><html lang=\"en\">".to_vec(),
            "a web page",
            "download",
        ),
        (
            b"\n\n  <HTML><head><title>Not found".to_vec(),
            "a web page",
            "download",
        ),
        (
            b"{\"metadata\": {\"total_size\": 553}}".to_vec(),
            "index",
            "the file that holds",
        ),
        (
            b"\x93NUMPY\x01\0v\0{'descr': '<f4'}".to_vec(),
            "a NumPy array",
            "safetensors",
        ),
        (
            archive_of("conv1_1_W.npy"),
            "an .npz file of NumPy",
            "safetensors",
        ),
        (
            archive_of("model.weights.npz"),
            "weights of NumPy",
            "model.weights.h5",
        ),
        (
            archive_of("vgg16.pth"),
            "a zip archive of other files",
            "unpack",
        ),
        (
            archive_of("notes.txt"),
            "\"notes.txt\" and no data.pkl",
            "not of PyTorch",
        ),
        (caffe, "a Caffe model", "convert"),
        (
            b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec(),
            "a MATLAB file",
            "loadmat",
        ),
        (table, "a checkpoint of TensorFlow", "load_checkpoint"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), "gzip", "unpack"),
        (tar, "a tar archive", "unpack"),
        (
            b"\x80\x04}q\0.".to_vec(),
            "not of torch.save",
            "safetensors",
        ),
        (
            b"\x08\x07\x12\x07pytorch\x1a\x052.1.0".to_vec(),
            "an ONNX model",
            "initializers",
        ),
    ];
    for (bytes, what, advice) in cases {
        match error_of(&bytes) {
            Error::InvalidWeights { reason, .. } => {
                assert!(reason.contains(what) && reason.contains(advice), "{reason}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_model_is_not_loaded_from_a_file_of_another_library() {
    for (file, library) in [
        ("pytorch/legacy.pth", "PyTorch"),
        ("keras/small.h5", "Keras"),
    ] {
        let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        let error = Model::load(path, &Device::Cpu).unwrap_err().to_string();
        assert!(
            error.contains(library) && error.contains("pretrained_from"),
            "{error}"
        );
    }
}

#[cfg(not(feature = "keras"))]
#[test]
fn a_keras_file_says_which_feature_it_needs() {
    let hdf5 = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0".to_vec();
    for bytes in [hdf5, archive_of("model.weights.h5")] {
        let error = error_of(&bytes);
        assert!(
            error.to_string().contains("the feature \"keras\""),
            "{error}"
        );
        assert!(matches!(
            error,
            Error::MissingFeature {
                feature: "keras",
                ..
            }
        ));
    }
}

/// The message of a file that has tensors of these names and shapes instead.
fn message_of(tensors: &[(&str, &[usize])]) -> String {
    let tensors = tensors.iter().map(|&(name, shape)| {
        let tensor = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        (name.to_string(), tensor)
    });
    let set = WeightSet::tensors(tensors.collect::<HashMap<_, _>>());
    let graph = Vgg16::pretrained_from(set)
        .truncate("block1_conv1")
        .unwrap();
    graph.build(&Device::Cpu).unwrap_err().to_string()
}

#[test]
fn a_file_without_the_tensors_says_what_it_holds() {
    let message = message_of(&[
        ("backbone.bn1.weight", &[1]),
        ("backbone.conv1.weight", &[1]),
        ("backbone.layer1.0.bn1.weight", &[1]),
        ("backbone.layer1.0.conv1.weight", &[1]),
    ]);
    let expected = "; it holds 4 tensors: \"backbone.bn1.weight\", \"backbone.conv1.weight\", \
                    \"backbone.layer1.0.bn1.weight\", .. (all below \"backbone.\"); it looks like \
                    a ResNet";
    assert!(message.ends_with(expected), "{message}");
    let message = message_of(&[("lin0.model.1.weight", &[1, 64, 1, 1])]);
    assert!(
        message.ends_with("the linear layers of LPIPS, without their VGG"),
        "{message}"
    );
}

#[test]
fn the_depth_of_a_vgg_is_told_by_its_convolutions() {
    let names = [1, 3, 6, 8, 11, 13, 16, 18].map(|index| format!("features.{index}.weight"));
    let mut tensors: Vec<(&str, &[usize])> = Vec::new();
    tensors.extend(
        names
            .iter()
            .map(|name| (name.as_str(), &[1usize, 1, 3, 3][..])),
    );
    tensors.push(("features.2.running_mean", &[1]));
    let message = message_of(&tensors);
    assert!(
        message.ends_with("VGG11 with batch normalization"),
        "{message}"
    );
}
