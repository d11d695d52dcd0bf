//! Weights that take fewer bytes than f32: rounded, and of half precision.

use candle_core::{DType, Device};
use serde_json::json;
use vgg_surgery::error::FileError;
use vgg_surgery::graph::Precision;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Error, Model, Vgg11Bn, WeightSet};

use crate::faults::{joined, load, parted};
use crate::operated::{edited, pretrained};
use crate::{assert_same, assert_same_parameters, bits, built, temporary};

#[test]
fn rounded_weights_are_stored_in_few_bytes() {
    let folder = temporary();
    let model = pretrained(&folder);
    let dense = |model: &Model| -> usize {
        let weights = model.parameters().filter(|p| p.tensor.rank() == 2);
        weights.map(|p| p.tensor.elem_count()).sum()
    };
    let bytes = |model: &Model| -> usize {
        let bytes = model.to_bytes().unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.iter().map(|(_, view)| view.data().len()).sum()
    };
    let (full, weights) = (bytes(&model), dense(&model));
    let rows = 8 + 8 + 3;
    for (precision, saved) in [
        (Precision::F16, 2 * weights),
        (Precision::Bf16, 2 * weights),
        (Precision::Int8, 3 * weights - 4 * rows),
    ] {
        let rounded = model.quantize_dense(precision).unwrap();
        assert_eq!(bytes(&rounded), full - saved, "{precision:?}");
        let again = rounded.to_bytes().unwrap();
        let again = Model::from_bytes(again, &Device::Cpu, &LoadOptions::new()).unwrap();
        assert_eq!(bytes(&again), full - saved, "{precision:?}");
        let wide = LoadOptions::new().dtype(DType::F64);
        let wide = Model::from_bytes(rounded.to_bytes().unwrap(), &Device::Cpu, &wide).unwrap();
        assert_eq!(wide.parameters().count(), rounded.parameters().count());
        for (wide, own) in wide.parameters().zip(rounded.parameters()) {
            assert!(
                bits(wide.tensor) == bits(own.tensor),
                "{precision:?}: {}",
                own.layer
            );
        }
    }
}

#[test]
fn weights_that_left_their_grid_are_stored_whole() {
    let folder = temporary();
    for precision in [Precision::F16, Precision::Bf16, Precision::Int8] {
        let rounded = pretrained(&folder).quantize_dense(precision).unwrap();
        let variables = rounded.trainable_variables();
        let weight = variables
            .iter()
            .find(|variable| variable.rank() == 2)
            .unwrap();
        weight
            .set(&(weight.as_detached_tensor() * 1.0001).unwrap())
            .unwrap();
        let bytes = rounded.to_bytes().unwrap();
        let again = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
        assert_same_parameters(&again, &rounded);
    }
}

#[test]
fn factors_of_another_type_or_number_are_refused() {
    let folder = temporary();
    let rounded = pretrained(&folder).quantize_dense(Precision::Int8).unwrap();
    let (header, data) = parted(&rounded.to_bytes().unwrap());
    // As many bytes as the eight factors in f32 take.
    for (dtype, shape) in [
        ("I32", json!([8])),
        ("F32", json!([4, 2])),
        ("F16", json!([16])),
    ] {
        let mut changed = header.clone();
        changed["fc1.weight_scale"]["dtype"] = dtype.into();
        changed["fc1.weight_scale"]["shape"] = shape;
        match load(joined(&changed, &data)) {
            Error::File(FileError::Disagreement { tensor, .. }) => {
                assert_eq!(tensor, "fc1.weight_scale");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn bytes_without_their_factors_are_refused() {
    let folder = temporary();
    let rounded = pretrained(&folder).quantize_dense(Precision::Int8).unwrap();
    let bytes = rounded.to_bytes().unwrap();
    let length = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..length].to_vec()).unwrap();
    let with = |from: &str, to: &str| {
        let mut changed = bytes.clone();
        let header = header.replacen(from, to, 1);
        assert_eq!(header.len(), length - 8);
        changed[8..length].copy_from_slice(header.as_bytes());
        Model::from_bytes(changed, &Device::Cpu, &LoadOptions::new()).unwrap_err()
    };
    for error in [
        with("\"fc1.weight_scale\"", "\"fc1.weight_skale\""),
        with("\"shape\":[3]", "\"shape\":[1]"),
    ] {
        let of_file = matches!(error, Error::File(FileError::Disagreement { .. }));
        assert!(
            of_file || matches!(error, Error::InvalidWeights { .. }),
            "{error}"
        );
    }
}

#[test]
fn rounded_weights_are_no_plain_weights() {
    let options = Vgg11Bn::options().widths(16).hidden(8).classes(3);
    let model = built(&options.untrained(1).unwrap());
    let read = |model: &Model| {
        let set = WeightSet::bytes(model.to_bytes().unwrap());
        options.pretrained_from(set).unwrap().build(&Device::Cpu)
    };
    assert_same_parameters(&read(&model).unwrap(), &model);
    let rounded = model.quantize_dense(Precision::Int8).unwrap();
    match read(&rounded).unwrap_err() {
        Error::TensorDtype { key, dtype, .. } => {
            assert_eq!((key.as_str(), dtype.as_str()), ("fc1.weight", "U8"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn frozen_layers_hold_half_precision_as_such() {
    let folder = temporary();
    let model = edited(&pretrained(&folder), |graph| Ok(graph.freeze_all()));
    for (precision, dtype) in [
        (Precision::F16, DType::F16),
        (Precision::Bf16, DType::BF16),
        (Precision::Int8, DType::F32),
    ] {
        let rounded = model.quantize_dense(precision).unwrap();
        let weight = rounded.parameters().find(|p| p.layer == "fc1").unwrap();
        assert_eq!(weight.tensor.dtype(), dtype);
        let again = rounded.to_bytes().unwrap();
        let again = Model::from_bytes(again, &Device::Cpu, &LoadOptions::new()).unwrap();
        assert_same(&again, &rounded);
    }
}
