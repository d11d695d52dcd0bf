//! What every structural operation leaves, through every kind of file.

use std::collections::{BTreeSet, HashMap};

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::FileError;
use vgg_surgery::export::WeightNaming;
use vgg_surgery::graph::Precision;
use vgg_surgery::layers::Pooling;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::surgery::Prune;
use vgg_surgery::vgg::Top;
use vgg_surgery::{Dense, Error, Graph, Head, Model, Vgg11, Vgg11Bn, VggOptions};

use crate::onnx::Cases;
use crate::{assert_same, bits, built, images, temporary};

fn options() -> VggOptions {
    let options = Vgg11Bn::options().widths(16).hidden(8).classes(3);
    options.top(Top::Keras).input((3, 64, 64))
}

/// A pretrained network in a file, and the graph that reads it.
pub fn pretrained(folder: &tempfile::TempDir) -> Model {
    let base = folder.path().join("base.safetensors");
    let model = built(&options().untrained(1).unwrap());
    for round in 0..2 {
        let x = images((4, 3, 64, 64));
        model
            .forward_training(&(x * (1.0 + f64::from(round))).unwrap())
            .unwrap();
    }
    model.save(&base).unwrap();
    // The weights are for a map of 2x2, which only the crate's own file says.
    Model::load(&base, &Device::Cpu).unwrap()
}

pub fn edited(model: &Model, edit: impl FnOnce(Graph) -> vgg_surgery::Result<Graph>) -> Model {
    model.edit(edit).unwrap()
}

fn operated(model: &Model) -> Vec<(&'static str, Model)> {
    let cut = |last| edited(model, |graph| graph.truncate(last));
    let donor = built(&options().untrained(2).unwrap());
    let pools = ["pool3", "pool4"];
    vec![
        ("fold", model.fold_batch_norm().unwrap()),
        ("adapt", model.adapt_input(5).unwrap()),
        ("convolutional", model.to_fully_convolutional().unwrap()),
        (
            "prune",
            model
                .prune_filters("conv5_2", Prune::fraction(0.3))
                .unwrap(),
        ),
        ("factorize", model.factorize("fc1", 4).unwrap()),
        ("channels", model.factorize("conv4_1", 9).unwrap()),
        ("spatial", model.factorize_spatial("conv4_1", 9).unwrap()),
        ("widen", model.widen("conv2_1", 13).unwrap()),
        (
            "transplant",
            model
                .transplant("block2_conv1"..="block2_pool", &donor)
                .unwrap(),
        ),
        (
            "swap",
            edited(model, |graph| graph.swap_pool(pools, Pooling::Average)),
        ),
        (
            "dilate",
            edited(&cut("block5_relu2"), |graph| graph.dilate("pool4")),
        ),
        (
            "stride",
            edited(&cut("block5_relu2"), |graph| {
                graph.change_stride("pool4", 1)
            }),
        ),
        ("f16", model.quantize_dense(Precision::F16).unwrap()),
        ("bf16", model.quantize_dense(Precision::Bf16).unwrap()),
        ("int8", model.quantize_dense(Precision::Int8).unwrap()),
    ]
}

fn input_for(model: &Model) -> Tensor {
    images((2, model.graph().input_shape().channels(), 64, 64))
}

#[test]
fn every_operations_result_is_saved_loaded_and_exported() {
    let folder = temporary();
    let model = pretrained(&folder);
    let cases = Cases::new();
    for (name, operated) in operated(&model) {
        let path = folder.path().join(name);
        operated.save(&path).unwrap();
        let again = Model::load(&path, &Device::Cpu).unwrap();
        assert_same(&again, &operated);
        let x = input_for(&operated);
        let value = |model: &Model| bits(&model.forward(&x).unwrap());
        assert!(value(&again) == value(&operated), "{name}");
        cases.write(&format!("operated_{name}"), &operated, &x);
    }
}

#[test]
fn every_operations_result_has_its_names_elsewhere_or_says_which_not() {
    let folder = temporary();
    for (name, operated) in operated(&pretrained(&folder)) {
        let nameless = match name {
            "factorize" => Some("fc1_low"),
            "channels" | "spatial" => Some("block4_conv1_low"),
            _ => None,
        };
        for library in [WeightNaming::Torchvision, WeightNaming::Timm] {
            match (operated.to_state_dict(library), nameless) {
                (Ok(dict), None) => {
                    assert_eq!(dict.len(), operated.parameters().count(), "{name}");
                }
                (Err(Error::File(FileError::NoNameThere { layer, .. })), Some(nameless)) => {
                    assert_eq!(layer, nameless, "{name}");
                }
                (Ok(_), Some(nameless)) => panic!("{name}: {nameless} has a name"),
                (Err(error), _) => panic!("{name}: {error}"),
            }
        }
        let keras = operated.to_state_dict(WeightNaming::Keras).unwrap();
        assert_eq!(keras.len(), operated.parameters().count(), "{name}");
    }
}

#[test]
fn every_operations_result_comes_back_from_a_delta() {
    let folder = temporary();
    let head = Head::new()
        .flatten("flatten")
        .dense("fc1", Dense::new(8).relu())
        .dense("out", Dense::new(3));
    let model = edited(&based(&folder), |graph| graph.attach(head));
    for (name, operated) in operated(&model) {
        let path = folder.path().join(name);
        match operated.save_delta(&path) {
            Ok(()) => assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &operated),
            // Every layer of the base has a norm that changes it.
            Err(Error::File(FileError::NoBase { .. })) => assert_eq!(name, "fold"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn operations_keep_dense_weights_as_narrow_as_they_were() {
    let narrow = |seed| {
        let graph = options().untrained(seed).unwrap().freeze_all();
        let build = BuildOptions::new().dense_dtype(DType::F16);
        graph.build_with(&Device::Cpu, &build).unwrap()
    };
    let (model, donor) = (narrow(1), narrow(2));
    let dtypes = |model: &Model| -> Vec<DType> {
        let weights = model.parameters().filter(|p| p.tensor.rank() == 2);
        weights.map(|p| p.tensor.dtype()).collect()
    };
    assert_eq!(dtypes(&model), [DType::F16; 3]);
    for operated in [
        model.widen("fc1", 12).unwrap(),
        model.prune_filters("fc2", Prune::count(2)).unwrap(),
        model.prune_filters("conv5_2", Prune::count(2)).unwrap(),
        model.transplant("fc1"..="fc2", &donor).unwrap(),
    ] {
        assert_eq!(dtypes(&operated), [DType::F16; 3]);
    }
    let split = model.factorize("fc1", 2).unwrap();
    assert_eq!(dtypes(&split), [DType::F16; 4]);
    // Other grids are not rounded once more to the one before.
    let coarse = model.quantize_dense(Precision::Int8).unwrap();
    assert_eq!(dtypes(&coarse), [DType::F32; 3]);
    let bytes = coarse.to_bytes().unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let fc1 = tensors.tensor("fc1.weight").unwrap();
    assert_eq!(fc1.dtype(), safetensors::Dtype::U8);
}

/// The same weights, from a file that stays where it is.
fn based(folder: &tempfile::TempDir) -> Model {
    let dict = pretrained(folder)
        .to_state_dict(WeightNaming::Torchvision)
        .unwrap();
    let flat: HashMap<String, Tensor> = dict
        .into_iter()
        .filter(|(key, _)| !key.starts_with("classifier"))
        .collect();
    let path = folder.path().join("trunk.safetensors");
    candle_core::safetensors::save(&flat, &path).unwrap();
    let trunk = Vgg11Bn::options()
        .widths(16)
        .input((3, 64, 64))
        .without_top();
    built(&trunk.pretrained_from(path).unwrap())
}

#[test]
fn a_delta_holds_what_an_operation_derived_and_no_more() {
    let folder = temporary();
    let model = based(&folder);
    let donor = built(
        &Vgg11Bn::options()
            .widths(16)
            .without_top()
            .untrained(3)
            .unwrap(),
    );
    let all = [
        ("adapt", model.adapt_input(1).unwrap()),
        (
            "prune",
            model.prune_filters("conv5_1", Prune::count(9)).unwrap(),
        ),
        ("factorize", model.factorize("conv5_1", 9).unwrap()),
        ("widen", model.widen("conv5_1", 40).unwrap()),
        (
            "transplant",
            model
                .transplant("block2_conv1"..="block2_bn1", &donor)
                .unwrap(),
        ),
    ];
    for (name, operated) in all {
        let path = folder.path().join(name);
        operated.save_delta(&path).unwrap();
        assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &operated);
        let held = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let held: u64 = held.values().map(|tensor| tensor.elem_count() as u64).sum();
        let operation = operated.graph().operations().last().unwrap();
        assert_eq!(held, operation.derived, "{name}");
        assert!(operation.kept > 0, "{name}");
    }
}

#[test]
fn folded_networks_still_have_their_names_elsewhere() {
    let folder = temporary();
    let folded = pretrained(&folder).fold_batch_norm().unwrap();
    for library in [
        WeightNaming::Torchvision,
        WeightNaming::Timm,
        WeightNaming::Keras,
    ] {
        let dict = folded.to_state_dict(library).unwrap();
        assert_eq!(dict.len(), folded.parameters().count(), "{library:?}");
    }
    let plain = built(
        &Vgg11::options()
            .widths(16)
            .without_top()
            .untrained(1)
            .unwrap(),
    );
    let names = |model: &Model| -> BTreeSet<String> {
        let dict = model.to_state_dict(WeightNaming::Torchvision).unwrap();
        let keys = dict.into_keys();
        keys.filter(|key| key.starts_with("features")).collect()
    };
    assert_eq!(names(&folded), names(&plain));
    let tap = folded.graph().node("features.1").unwrap();
    assert_eq!(tap.name(), "block1_relu1");
    let split = pretrained(&folder).factorize("fc1", 2).unwrap();
    match split.to_state_dict(WeightNaming::Torchvision).unwrap_err() {
        Error::File(FileError::NoNameThere { layer, .. }) => assert_eq!(layer, "fc1_low"),
        other => panic!("{other}"),
    }
}
