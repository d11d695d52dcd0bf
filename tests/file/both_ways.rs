//! What loads can be saved, and what is saved can be loaded.

use candle_core::Device;
use serde_json::{Value, json};
use vgg_surgery::error::FileError;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Activation, Error, Graph, Head, Model, Preprocessing};

use crate::faults::invalid;
use crate::{assert_same, built, whole};

fn loads(model: &Model) {
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    assert_same(&again, model);
}

fn unwritable(model: &Model) -> String {
    match model.to_bytes().unwrap_err() {
        Error::File(FileError::UnwritableGraph { reason }) => reason,
        other => panic!("{other}"),
    }
}

/// An array in an array, so many of them.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

#[test]
fn numbers_beyond_f32_are_refused_where_they_are_read() {
    let init = invalid(|record| {
        let settings = &mut record["graph"]["nodes"][1]["layer"]["settings"];
        settings["kernel_init"] = json!({"Normal": 1e39});
    });
    assert!(init.contains("block1_conv1"), "{init}");
    let rescale = invalid(|record| {
        let settings = json!({"scale": [1e39], "offset": [0.0]});
        let nodes = record["graph"]["nodes"].as_array_mut().unwrap();
        nodes[3]["layer"] = json!({"kind": "Rescale", "settings": settings});
    });
    assert!(rescale.contains("block1_pool"), "{rescale}");
    let mut preprocessing = serde_json::to_value(Preprocessing::caffe()).unwrap();
    preprocessing["mean"][1] = json!(1e39);
    let mean = invalid(|record| record["graph"]["preprocessing"] = preprocessing);
    assert!(mean.contains("out of range"), "{mean}");
}

#[test]
fn preprocessing_that_would_not_come_back_is_refused() {
    let graph = whole().truncate("block1_pool").unwrap();
    for odd in [f32::NAN, f32::INFINITY] {
        for preprocessing in [
            Preprocessing::caffe().with_mean([0.0, odd, 0.0]),
            Preprocessing::caffe().with_std([odd; 3]),
        ] {
            let model = built(&graph.clone().with_preprocessing(preprocessing));
            assert!(unwritable(&model).contains("preprocessing"));
        }
    }
}

#[test]
fn notes_are_as_deep_as_they_can_be_read() {
    let graph = whole().truncate("block1_pool").unwrap();
    let with = |levels| built(&graph.clone().with_note("deep", nested(levels)));
    loads(&with(100));
    for levels in [101, 130, 1000] {
        assert!(unwritable(&with(levels)).contains("\"deep\""));
    }
    let reason = invalid(|record| record["graph"]["notes"] = json!({"deep": nested(101)}));
    assert!(reason.contains("\"deep\""), "{reason}");
}

#[test]
fn headers_longer_than_are_read_are_not_written() {
    let graph = whole().truncate("block1_pool").unwrap();
    // JSON in JSON: four bytes each.
    let note = "\"".repeat(25_000_000);
    let error = built(&graph.with_note("long", note.into())).to_bytes();
    let error = error.unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
}

#[test]
fn networks_of_more_layers_than_are_read_are_not_written() {
    let mut layers = Head::new();
    for index in 1..10_000 {
        layers = layers.layer(format!("l{index}"), Activation::Linear);
    }
    let most = Graph::new("deep", 1).unwrap().attach(layers).unwrap();
    loads(&built(&most));
    let more = built(&most.attach(Activation::Linear).unwrap());
    assert!(unwritable(&more).contains("10001"));
}

#[test]
fn a_layer_of_the_longest_name_can_be_parted() {
    let graph = whole().truncate("block1_pool").unwrap();
    for letter in ["a", "\u{e9}", "\u{51f8}"] {
        let longest = letter.repeat(256 / letter.len());
        let graph = graph.clone().rename("block1_conv2", &longest).unwrap();
        let at = format!("{longest}:pre");
        let parted = graph.insert_after(at, Activation::Tanh.named("between"));
        let parted = parted.unwrap();
        assert_eq!(parted.len(), 6);
        loads(&built(&parted));
    }
}
