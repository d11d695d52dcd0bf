use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vgg_surgery::error::FileError;
use vgg_surgery::model::{BuildOptions, LoadOptions};
use vgg_surgery::{Dense, Error, Graph, Head, Model, Vgg16, WeightSet};

use crate::faults::{joined, parted};
use crate::{assert_same, assert_same_parameters, bits, built, temporary, whole};

/// A pretrained network in a file, and a new head on part of it.
struct Rig {
    folder: tempfile::TempDir,
    base: PathBuf,
}

impl Rig {
    fn start() -> Self {
        let folder = temporary();
        let base = folder.path().join("base.safetensors");
        built(&whole()).save(&base).unwrap();
        Self { folder, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn graph(&self, base: impl Into<WeightSet>) -> Graph {
        let head = Head::new()
            .global_avg_pool2d("pool")
            .dense("out", Dense::new(2));
        Vgg16::options()
            .widths(16)
            .hidden(32)
            .classes(10)
            .pretrained_from(base)
            .and_then(|graph| graph.truncate("block3_pool")?.freeze_all().attach(head))
            .unwrap()
    }

    fn model(&self) -> Model {
        built(&self.graph(self.base.as_path()))
    }
}

fn keys(path: &Path) -> Vec<String> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut keys: Vec<String> = tensors.into_keys().collect();
    keys.sort();
    keys
}

#[test]
fn only_the_head_is_written_and_all_comes_back() {
    let rig = Rig::start();
    let (model, path) = (rig.model(), rig.path("head"));
    model.save_delta(&path).unwrap();
    assert_eq!(keys(&path), ["out.bias", "out.weight"]);
    let again = Model::load(&path, &Device::Cpu).unwrap();
    assert_same(&again, &model);
    let second = rig.path("again");
    again.save_delta(&second).unwrap();
    assert_eq!(
        std::fs::read(&second).unwrap(),
        std::fs::read(&path).unwrap()
    );
}

#[test]
fn what_training_changed_is_written_too() {
    let rig = Rig::start();
    let mut model = rig.model();
    model.unfreeze("block2_conv1").unwrap();
    let bias = model
        .trainable_variables()
        .into_iter()
        .find(|variable| variable.dims() == [8])
        .unwrap();
    bias.set(&Tensor::ones(8, bias.dtype(), &Device::Cpu).unwrap())
        .unwrap();
    let path = rig.path("trained");
    model.save_delta(&path).unwrap();
    assert_eq!(keys(&path), ["block2_conv1.bias", "out.bias", "out.weight"]);
    assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &model);
}

#[test]
fn a_moved_base_is_named_and_another_one_refused() {
    let rig = Rig::start();
    let (model, path) = (rig.model(), rig.path("head"));
    model.save_delta(&path).unwrap();
    let moved = rig.path("moved.safetensors");
    std::fs::rename(&rig.base, &moved).unwrap();
    let error = Model::load(&path, &Device::Cpu).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::NoBase { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("base.safetensors"), "{error}");
    let options = LoadOptions::new().base(moved.as_path());
    let again = Model::load_with(&path, &Device::Cpu, &options).unwrap();
    assert_same_parameters(&again, &model);

    let other = rig.path("other.safetensors");
    built(&whole().seed(8)).save(&other).unwrap();
    let options = LoadOptions::new().base(other.as_path());
    let error = Model::load_with(&path, &Device::Cpu, &options).unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
}

#[test]
fn the_base_may_be_in_another_format() {
    let rig = Rig::start();
    let (model, path) = (rig.model(), rig.path("head"));
    model.save_delta(&path).unwrap();
    let held: std::collections::HashMap<String, Tensor> = built(&whole())
        .parameters()
        .map(|p| {
            (
                format!(
                    "{}/{}",
                    p.layer,
                    if p.name == "weight" { "kernel" } else { "bias" }
                ),
                p,
            )
        })
        .map(|(key, p)| {
            let keras = match p.tensor.rank() {
                4 => p
                    .tensor
                    .permute((2, 3, 1, 0))
                    .unwrap()
                    .contiguous()
                    .unwrap(),
                2 => p.tensor.t().unwrap().contiguous().unwrap(),
                _ => p.tensor.clone(),
            };
            (key, keras)
        })
        .collect();
    let options = LoadOptions::new().base(WeightSet::tensors(held));
    let again = Model::load_with(&path, &Device::Cpu, &options).unwrap();
    assert_same_parameters(&again, &model);
}

#[test]
fn without_a_base_there_is_no_delta() {
    let rig = Rig::start();
    let error = built(&whole()).save_delta(rig.path("none")).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::NoBase { .. })),
        "{error}"
    );
    let bytes = std::fs::read(&rig.base).unwrap();
    let in_memory = built(&rig.graph(WeightSet::bytes(bytes)));
    let error = in_memory.save_delta(rig.path("none")).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::NoBase { .. })),
        "{error}"
    );
    assert!(!rig.path("none").exists());
}

/// A frozen classifier of the rig's base, its last layer new.
fn frozen(rig: &Rig) -> Graph {
    let options = Vgg16::options().widths(16).hidden(32).classes(10);
    let graph = options.pretrained_from(rig.base.as_path()).unwrap();
    graph.freeze_all().reinitialize("predictions").unwrap()
}

fn weight(model: &Model, layer: &str) -> Tensor {
    let found = model
        .parameters()
        .find(|p| (p.layer, p.name) == (layer, "weight"));
    found.unwrap().tensor.detach()
}

#[test]
fn a_delta_is_verified_before_its_dense_weights_are_narrowed() {
    let rig = Rig::start();
    let (model, path) = (built(&frozen(&rig)), rig.path("delta"));
    model.save_delta(&path).unwrap();
    let options = LoadOptions::new().dense_dtype(DType::F16);
    let narrow = Model::load_with(&path, &Device::Cpu, &options).unwrap();
    let expected = weight(&model, "fc1").to_dtype(DType::F16).unwrap();
    assert_eq!(weight(&narrow, "fc1").dtype(), DType::F16);
    assert!(bits(&weight(&narrow, "fc1")) == bits(&expected));
}

#[test]
fn narrow_dense_weights_are_still_those_of_the_base() {
    let rig = Rig::start();
    let build = BuildOptions::new().dense_dtype(DType::BF16);
    let model = frozen(&rig).build_with(&Device::Cpu, &build).unwrap();
    let path = rig.path("delta");
    model.save_delta(&path).unwrap();
    assert_eq!(keys(&path), ["predictions.bias", "predictions.weight"]);
    assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &model);
    let wide = LoadOptions::new().dense_dtype(DType::F32);
    let wide = Model::load_with(&path, &Device::Cpu, &wide).unwrap();
    assert_eq!(weight(&wide, "fc1").dtype(), DType::F32);
    assert!(bits(&weight(&wide, "fc1")) == bits(&weight(&model, "fc1")));
}

#[test]
fn a_base_in_the_deltas_folder_moves_with_it() {
    let rig = Rig::start();
    let model = rig.model();
    let (old, new) = (rig.path("old"), rig.path("new"));
    std::fs::create_dir(&old).unwrap();
    std::fs::copy(&rig.base, old.join("base.safetensors")).unwrap();
    let own = built(&rig.graph(old.join("base.safetensors").as_path()));
    own.save_delta(old.join("head")).unwrap();
    std::fs::rename(&old, &new).unwrap();
    let again = Model::load(new.join("head"), &Device::Cpu).unwrap();
    assert_same_parameters(&again, &model);
}

/// A delta of a stranger could have any file opened, and the error showed how it
/// begins.
#[test]
fn a_delta_reads_no_file_outside_of_its_folder_unless_it_is_given() {
    let rig = Rig::start();
    let model = rig.model();
    let inner = rig.path("inner");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("head");
    model.save_delta(&path).unwrap();
    let (header, data) = parted(&std::fs::read(&path).unwrap());
    let text = header["__metadata__"]["vgg-surgery"].as_str().unwrap();
    let record: Value = serde_json::from_str(text).unwrap();
    let secret = rig.path("secret");
    std::fs::write(&secret, "password").unwrap();
    for named in [
        "../secret",
        "./../secret",
        "x/../../secret",
        secret.to_str().unwrap(),
    ] {
        let mut record = record.clone();
        record["sources"][0]["place"]["file"]["path"] = named.into();
        let mut changed = header.clone();
        changed["__metadata__"]["vgg-surgery"] = record.to_string().into();
        std::fs::write(&path, joined(&changed, &data)).unwrap();
        match Model::load(&path, &Device::Cpu).unwrap_err() {
            Error::File(FileError::NoBase { reason, .. }) => {
                assert!(reason.contains("is not in its folder"), "{reason}");
            }
            other => panic!("{other}"),
        }
        let options = LoadOptions::new().base(rig.base.as_path());
        let again = Model::load_with(&path, &Device::Cpu, &options).unwrap();
        assert_same_parameters(&again, &model);
    }
    // Nor does a file that is no weight file show its contents.
    std::fs::write(inner.join("near"), "password: hunter2").unwrap();
    let mut record = record.clone();
    record["sources"][0]["place"]["file"]["path"] = "near".into();
    let mut changed = header.clone();
    changed["__metadata__"]["vgg-surgery"] = record.to_string().into();
    std::fs::write(&path, joined(&changed, &data)).unwrap();
    let error = Model::load(&path, &Device::Cpu).unwrap_err().to_string();
    let number = u64::from_le_bytes(*b"password").to_string();
    assert!(
        !error.contains("password") && !error.contains(&number),
        "{error}"
    );
}

#[test]
fn a_delta_is_not_written_over_its_base() {
    let rig = Rig::start();
    let model = rig.model();
    let before = std::fs::read(&rig.base).unwrap();
    let roundabout = rig.folder.path().join(".").join("base.safetensors");
    let mut paths = vec![rig.base.clone(), roundabout];
    #[cfg(unix)]
    {
        paths.push(rig.path("link"));
        std::os::unix::fs::symlink(&rig.base, &paths[2]).unwrap();
    }
    for path in paths {
        let error = model.save_delta(&path).unwrap_err();
        let is_told = matches!(error, Error::File(FileError::OverBase { .. }));
        assert!(is_told, "{error}");
        assert!(std::fs::read(&rig.base).unwrap() == before);
    }
}

#[test]
fn a_base_that_has_moved_is_named_where_it_is() {
    let rig = Rig::start();
    let (model, path) = (rig.model(), rig.path("head"));
    let moved = rig.path("moved.safetensors");
    std::fs::rename(&rig.base, &moved).unwrap();
    let options = LoadOptions::new().base(moved.as_path());
    model.save_delta_with(&path, &options).unwrap();
    assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &model);
}

/// What a delta says of its base, with another layout of one parameter.
#[test]
fn a_layout_that_no_parameter_of_the_shape_has_is_refused() {
    let rig = Rig::start();
    let path = rig.path("head");
    rig.model().save_delta(&path).unwrap();
    let (header, data) = parted(&std::fs::read(&path).unwrap());
    let most = 1u64 << 63;
    for layout in [
        json!({"in_out_hwc": {"channels": most, "height": 2, "width": 2}}),
        json!({"dense_as_conv": {"channels": 1, "height": 3, "width": 3}}),
        json!("in_out"),
        json!("dense_as_pointwise"),
    ] {
        let text = header["__metadata__"]["vgg-surgery"].as_str().unwrap();
        let mut record: Value = serde_json::from_str(text).unwrap();
        for key in ["block1_conv1.weight", "block1_conv1.bias"] {
            record["parameters"][key]["keys"][0]["layout"] = layout.clone();
        }
        let mut changed = header.clone();
        changed["__metadata__"]["vgg-surgery"] = record.to_string().into();
        let options = LoadOptions::new().base(rig.base.as_path());
        let error = Model::from_bytes(joined(&changed, &data), &Device::Cpu, &options);
        match error.unwrap_err() {
            Error::File(FileError::Disagreement { tensor, .. }) => {
                assert!(tensor.starts_with("block1_conv1"), "{tensor}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_base_whose_path_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let rig = Rig::start();
    let name = std::ffi::OsStr::from_bytes(b"base-\xff.safetensors");
    let base = rig.folder.path().join(name);
    std::fs::rename(&rig.base, &base).unwrap();
    let model = built(&rig.graph(base.as_path()));
    match model.save_delta(rig.path("head")).unwrap_err() {
        Error::File(FileError::NoBase { reason, .. }) => {
            assert!(reason.contains("is not UTF-8 text"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

/// It led to an endless recursion: the parameter had no other value to fall back to.
#[test]
fn a_partial_base_that_lacks_a_tensor_is_an_error() {
    let rig = Rig::start();
    let path = rig.path("delta");
    built(&rig.graph(rig.base.as_path()))
        .save_delta(&path)
        .unwrap();
    let whole = candle_core::safetensors::load(&rig.base, &Device::Cpu).unwrap();
    let kept = whole
        .into_iter()
        .filter(|(key, _)| key != "block3_conv1.weight");
    let partial = WeightSet::tensors(kept.collect::<HashMap<_, _>>()).partial();
    let options = LoadOptions::new().base(partial);
    let error = Model::load_with(&path, &Device::Cpu, &options).unwrap_err();
    assert!(
        matches!(&error, Error::MissingTensor { key, .. } if key.contains("block3_conv1")),
        "{error}"
    );
}
