//! Labels follow what they name, and go when it is no more.

use candle_core::Device;
use vgg_surgery::graph::Shape;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::surgery::Prune;
use vgg_surgery::{Activation, Conv2d, Dense, Graph, Head, Labels, Model};

use crate::built;

fn abc() -> Labels {
    Labels::new(["a", "b", "c"])
}

fn labelled(head: Head) -> Graph {
    let graph = Graph::new("g", (3, 4, 4)).unwrap().attach(head).unwrap();
    graph.with_labels(abc()).unwrap()
}

fn classifier() -> Head {
    Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(3))
        .activation("soft", Activation::Softmax)
}

/// What labels a graph has, after a file as before.
fn labels_of(model: &Model) -> Option<Labels> {
    let again = Model::from_bytes(model.to_bytes().unwrap(), &Device::Cpu, &LoadOptions::new());
    let again = again.unwrap().graph().labels().cloned();
    assert_eq!(again.as_ref(), model.graph().labels());
    again
}

#[test]
fn another_number_of_classes_has_other_labels() {
    let graph = labelled(classifier());
    let softened = graph
        .clone()
        .replace("soft", Activation::Softmax.named("soft"));
    assert_eq!(labels_of(&built(&softened.unwrap())), None);
    let graph = labelled(
        Head::new()
            .global_avg_pool2d("pool")
            .dense("out", Dense::new(3)),
    );
    let soft = graph.attach(Activation::Softmax.named("soft")).unwrap();
    assert_eq!(labels_of(&built(&soft)), Some(abc()));
    let five = soft.replace("out", Dense::new(5).named("out")).unwrap();
    assert_eq!(labels_of(&built(&five)), None);
}

#[test]
fn pruned_classes_have_no_labels() {
    let graph = labelled(
        Head::new()
            .global_avg_pool2d("pool")
            .dense("out", Dense::new(3)),
    );
    let behind = graph.attach(Dense::new(2).named("behind")).unwrap();
    let pruned = built(&behind)
        .prune_filters("out", Prune::count(1))
        .unwrap();
    let cut = pruned.edit(|graph| graph.truncate("out")).unwrap();
    assert_eq!(labels_of(&pruned), None);
    assert_eq!(labels_of(&cut), None);
}

#[test]
fn a_donors_classes_are_not_the_hosts() {
    let host = built(&labelled(
        Head::new()
            .global_avg_pool2d("pool")
            .dense("out", Dense::new(3)),
    ));
    let donor = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(5));
    let donor = built(&Graph::new("d", (3, 4, 4)).unwrap().attach(donor).unwrap());
    let new = host.transplant("out", &donor).unwrap();
    assert_eq!(labels_of(&new), None);
}

#[test]
fn an_input_of_other_channels_has_no_labels_behind_it() {
    let graph = Graph::new("g", Shape::any_size(3)).unwrap();
    let graph = graph.attach(Head::new().global_avg_pool2d("pool")).unwrap();
    let graph = graph.with_labels(abc()).unwrap();
    let other = graph.clone().input((5, 4, 4)).unwrap();
    assert_eq!(labels_of(&built(&other)), None);
    assert_eq!(
        labels_of(&built(&graph.input((3, 8, 8)).unwrap())),
        Some(abc())
    );
}

#[test]
fn labels_come_along_where_handles_clash() {
    let head = || Head::new().conv2d("a", Conv2d::new(3, 1));
    let graph = labelled(head());
    let twice = graph.clone().append(graph.prefix("b_").unwrap()).unwrap();
    assert_eq!(labels_of(&built(&twice)), Some(abc()));
}

fn of(out: Dense) -> Graph {
    let head = Head::new().global_avg_pool2d("pool").dense("out", out);
    Graph::new("g", (3, 4, 4)).unwrap().attach(head).unwrap()
}

#[test]
fn a_single_output_keeps_its_two_labels() {
    let pets = Labels::new(["cat", "dog"]);
    for out in [Dense::new(1).sigmoid(), Dense::new(1)] {
        let model = built(&of(out).with_labels(pets.clone()).unwrap());
        assert_eq!(labels_of(&model), Some(pets.clone()));
        let x = crate::images((2, 3, 4, 4));
        let file = crate::onnx::Cases::new().write("two_labels", &model, &x);
        let wanted = br#"{"names":["cat","dog"],"synsets":null}"#;
        assert!(file.windows(wanted.len()).any(|window| window == wanted));
        let enlarged = model.edit(|graph| graph.input((3, 8, 8))).unwrap();
        assert_eq!(labels_of(&enlarged), Some(pets.clone()));
    }
}

#[test]
fn one_of_two_classes_that_is_left_has_no_labels() {
    let graph = of(Dense::new(2)).with_labels(Labels::new(["cat", "dog"]));
    let behind = graph.unwrap().attach(Dense::new(1).named("behind"));
    let pruned = built(&behind.unwrap()).prune_filters("out", Prune::count(1));
    let cut = pruned.unwrap().edit(|graph| graph.truncate("out")).unwrap();
    assert_eq!(labels_of(&cut), None);
}

/// A file may hold any text; a name in JSON has its control characters escaped.
#[test]
fn a_files_text_can_be_printed() {
    let graph = labelled(classifier()).rename("out", "plain").unwrap();
    let mut bytes = built(&graph).to_bytes().unwrap();
    let replace = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let places = bytes.windows(from.len()).enumerate();
        let found = places.filter(|(_, window)| *window == from);
        let found: Vec<usize> = found.map(|(place, _)| place).collect();
        assert!(!found.is_empty());
        for place in found {
            bytes[place..][..to.len()].copy_from_slice(to);
        }
    };
    // DEL is legal in JSON. The call is in the ledger, in quotes of three levels.
    replace(&mut bytes, br#"\"g\""#, b"\\\"\x7f\\\"");
    replace(&mut bytes, b"rename(", b"renam\x7f(");
    let model = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    assert_eq!(model.graph().name(), "\\u{7f}");
    let shown = format!("{}{}", model.graph().summary(), model.graph().operations());
    assert!(
        !shown.contains('\x7f') && shown.contains("renam\\u{7f}("),
        "{shown}"
    );
}
