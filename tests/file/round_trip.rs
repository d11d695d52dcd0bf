use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Conv2d, Dense, Head, Model, Vgg16, WeightSet};

use crate::{
    assert_same, assert_same_parameters, bits, built, every_kind, images, scale, scaled, scales,
    temporary, whole, whole_of, with_custom,
};

fn reloaded(model: &Model, options: &LoadOptions) -> Model {
    Model::from_bytes(model.to_bytes().unwrap(), &Device::Cpu, options).unwrap()
}

#[test]
fn every_kind_of_layer_comes_back_and_computes_the_same_bits() {
    let model = built(&every_kind());
    let again = reloaded(&model, &LoadOptions::new());
    assert_same(&again, &model);
    let x = images((2, 3, 12, 10));
    let (now, before) = (
        again.forward_all(&x).unwrap(),
        model.forward_all(&x).unwrap(),
    );
    assert_eq!(now.len(), 2);
    for (now, before) in now.iter().zip(&before) {
        assert_eq!(bits(now), bits(before));
    }
}

#[test]
fn names_of_other_libraries_survive() {
    let again = reloaded(&built(&whole()), &LoadOptions::new());
    for name in [
        "features.28",
        "relu5_3",
        "block5_conv3:pre",
        "fc7",
        "classifier.6",
    ] {
        let value = |model: &Model| {
            let x = images((1, 3, 32, 32));
            bits(&model.forward_to(name, &x).unwrap())
        };
        assert_eq!(value(&again), value(&built(&whole())), "{name}");
    }
    let _ = again.graph().clone().without_top().unwrap();
}

#[test]
fn a_loaded_model_can_be_cut_and_given_new_layers_as_before() {
    let model = built(&whole());
    let again = reloaded(&model, &LoadOptions::new());
    let surgery = |model: &Model| {
        model.edit(|graph| {
            let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
            graph
                .replace("block1_conv1"..="block1_conv2", conv)?
                .truncate("block2_pool")?
                .attach(
                    Head::new()
                        .global_avg_pool2d("pool")
                        .dense("out", Dense::new(2)),
                )
        })
    };
    assert_same(&surgery(&again).unwrap(), &surgery(&model).unwrap());
}

#[test]
fn a_file_on_disk_is_as_the_bytes_and_replaces_the_old_one() {
    let folder = temporary();
    let path = folder.path().join("deeper/model.safetensors");
    let model = built(&every_kind());
    model.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), model.to_bytes().unwrap());
    let other = built(&whole().truncate("block1_pool").unwrap());
    other.save(&path).unwrap();
    assert_same(&Model::load(&path, &Device::Cpu).unwrap(), &other);
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[cfg(unix)]
#[test]
fn a_file_has_the_mode_that_other_files_have() {
    use std::os::unix::fs::PermissionsExt;
    let folder = temporary();
    let [saved, plain] = ["saved", "plain"].map(|name| folder.path().join(name));
    built(&whole().truncate("block1_pool").unwrap())
        .save(&saved)
        .unwrap();
    std::fs::write(&plain, "").unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(saved), mode(plain));
}

#[test]
fn other_programs_read_the_tensors() {
    let model = built(&every_kind());
    let bytes = model.to_bytes().unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert_eq!(tensors.len(), model.parameters().count());
    for parameter in model.parameters() {
        let key = format!("{}.{}", parameter.layer, parameter.name);
        assert_eq!(bits(&tensors[&key]), bits(parameter.tensor), "{key}");
    }
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let again = safetensors::serialize(tensors.tensors(), metadata.metadata().clone()).unwrap();
    let body = |bytes: &[u8]| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[8 + length as usize..].to_vec()
    };
    assert!(
        body(&again) == body(&bytes),
        "the data is laid out as the format's writer does"
    );
}

#[test]
fn a_file_serves_as_weights_of_another_graph() {
    let folder = temporary();
    let path = folder.path().join("model.safetensors");
    let model = built(&whole());
    model.save(&path).unwrap();
    let graph = Vgg16::options()
        .widths(16)
        .hidden(32)
        .classes(10)
        .pretrained_from(WeightSet::file(&path))
        .unwrap();
    assert_same_parameters(&graph.build(&Device::Cpu).unwrap(), &model);
}

#[test]
fn custom_layers_come_back_through_their_constructor() {
    let model = built(&with_custom());
    let again = reloaded(&model, &scales());
    assert_same_parameters(&again, &model);
    let x = images((1, 3, 4, 4));
    let value = |model: &Model| bits(&model.forward(&x).unwrap());
    assert_eq!(value(&again), value(&model));
}

#[test]
fn the_type_is_kept_or_chosen() {
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        let graph = whole().truncate("block1_pool").unwrap();
        let options = vgg_surgery::model::BuildOptions::new().dtype(dtype);
        let model = graph.build_with(&Device::Cpu, &options).unwrap();
        let again = reloaded(&model, &LoadOptions::new());
        assert_eq!(again.dtype(), dtype);
        assert_same_parameters(&again, &model);
        let f32s = reloaded(&model, &LoadOptions::new().dtype(DType::F32));
        assert_eq!(f32s.parameters().count(), model.parameters().count());
        for (wide, parameter) in f32s.parameters().zip(model.parameters()) {
            let expected = parameter.tensor.to_dtype(DType::F32).unwrap();
            assert_eq!(bits(wide.tensor), bits(&expected));
        }
        let x = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(f32s.forward(&x).unwrap().dtype(), DType::F32);
    }
}

#[test]
fn notes_travel_along() {
    let history = json!({"loss": [0.5, 0.1 + 0.2]});
    let graph = whole().truncate("block1_pool").unwrap();
    let graph = graph.with_note("history", history.clone());
    let mut model = built(&graph);
    model.set_note("remark", json!("good"));
    let again = reloaded(&model, &LoadOptions::new());
    assert_eq!(again.graph().note("history"), Some(&history));
    assert_eq!(again.graph().note("remark"), Some(&json!("good")));
    assert_eq!(again.graph().note("other"), None);
}

#[test]
fn a_source_is_told_after_loading_as_before() {
    let folder = temporary();
    let base = folder.path().join("base.safetensors");
    built(&whole()).save(&base).unwrap();
    let graph = Vgg16::options().widths(16).hidden(32).classes(10);
    let graph = graph.pretrained_from(base.as_path()).unwrap();
    let graph = graph.truncate("block1_pool").unwrap();
    let graph = graph.attach(Conv2d::new(2, 1).named("new")).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let again = reloaded(&model, &LoadOptions::new());
    let source = |model: &Model, layer: &str| {
        let summary = model.graph().summary();
        summary
            .rows
            .into_iter()
            .find(|row| row.layer == layer)
            .unwrap()
            .source
    };
    for layer in ["block1_conv1", "new"] {
        assert_eq!(source(&again, layer), source(&model, layer));
    }
    assert_eq!(source(&again, "block1_conv1"), base.display().to_string());
    assert_eq!(source(&again, "new"), "new");
}

#[test]
fn dense_weights_of_half_precision_stay_so() {
    let graph = whole().freeze_all();
    for dtype in [DType::F16, DType::BF16] {
        let options = vgg_surgery::model::BuildOptions::new().dense_dtype(dtype);
        let model = graph.build_with(&Device::Cpu, &options).unwrap();
        let again = reloaded(&model, &LoadOptions::new());
        assert_same(&again, &model);
        let widened = reloaded(&model, &LoadOptions::new().dense_dtype(DType::F32));
        assert!(widened.parameters().all(|p| p.tensor.dtype() == DType::F32));
    }
    let wide = vgg_surgery::model::BuildOptions::new().dtype(DType::F64);
    let wide = graph.build_with(&Device::Cpu, &wide).unwrap();
    let options = LoadOptions::new().dtype(DType::F32).dense_dtype(DType::F16);
    let dense = reloaded(&wide, &options);
    for parameter in dense.parameters() {
        let halved = parameter.tensor.dtype() == DType::F16;
        assert_eq!(halved, parameter.tensor.rank() == 2, "{}", parameter.layer);
    }
    let narrow = vgg_surgery::model::BuildOptions::new().dtype(DType::BF16);
    let narrow = graph.build_with(&Device::Cpu, &narrow).unwrap();
    let widened = reloaded(&narrow, &LoadOptions::new().dtype(DType::F32));
    assert!(widened.parameters().all(|p| p.tensor.dtype() == DType::F32));
    let model = built(&whole());
    let halved = reloaded(&model, &LoadOptions::new().dense_dtype(DType::F16));
    assert!(
        halved.parameters().all(|p| p.tensor.dtype() == DType::F32),
        "none is frozen"
    );
}

#[test]
#[cfg(unix)]
fn a_file_replaced_while_it_is_loaded_is_not_mixed_with_the_new_one() {
    let folder = temporary();
    let path = folder.path().join("model");
    let old = built(&with_custom());
    let new = built(&scaled(whole_of(8)));
    old.save(&path).unwrap();
    let target = path.clone();
    // Constructors of layers run between the header and the tensors.
    let options = LoadOptions::new().custom("Scale", move |settings: &Value| {
        new.save(&target).unwrap();
        scale(settings)
    });
    let loaded = Model::load_with(&path, &Device::Cpu, &options).unwrap();
    assert_same_parameters(&loaded, &old);
}
