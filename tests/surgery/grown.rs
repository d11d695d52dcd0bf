//! Classes added to a classifier.

use candle_core::Device;
use vgg_surgery::graph::Contract;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Activation, Conv2d, Dense, Graph, Head, Labels, Model, Vgg16};

use super::{assert_sound, last, noise, values};

fn classifier(head: Head) -> Model {
    let graph = Graph::new("pets", (2, 4, 4)).unwrap().attach(head).unwrap();
    let labels = Labels::new(["cat", "dog", "fox"]).with_synsets(["a", "b", "c"]);
    let graph = graph.with_labels(labels.unwrap()).unwrap();
    graph.build(&Device::Cpu).unwrap()
}

fn heads() -> [Head; 2] {
    [
        Head::new()
            .flatten("flatten")
            .dense("scores", Dense::new(3))
            .activation("softmax", Activation::Softmax),
        Head::new()
            .conv2d("scores", Conv2d::new(3, 1))
            .global_avg_pool2d("pool"),
    ]
}

#[test]
fn old_scores_stay_and_a_new_class_gets_their_mean() {
    let [head, _] = heads();
    let model = classifier(head);
    let grown = model.grow_classes("scores", 5).unwrap();
    assert_sound(&grown, &model, Contract::Approximate);
    let x = noise((6, 2, 4, 4), 1);
    let scores = |model: &Model| {
        let scores = model.forward_to("scores", &x).unwrap();
        scores.to_vec2::<f32>().unwrap()
    };
    for (old, new) in scores(&model).iter().zip(scores(&grown)) {
        assert_eq!(old[..], new[..3]);
        let mean = old.iter().sum::<f32>() / 3.0;
        // Sums of 33 products each, in f32.
        let slack = 33.0 * f32::EPSILON * old.iter().map(|v| v.abs()).fold(1.0, f32::max);
        assert!(new[3..].iter().all(|score| (score - mean).abs() < slack));
    }
    let top = |model: &Model| {
        model
            .forward(&x)
            .unwrap()
            .argmax(1)
            .unwrap()
            .to_vec1::<u32>()
    };
    assert_eq!(top(&model).unwrap(), top(&grown).unwrap());
}

#[test]
fn labels_are_extended_and_saved() {
    let [head, _] = heads();
    let grown = classifier(head).grow_classes("scores", 5).unwrap();
    let bytes = grown.to_bytes().unwrap();
    let loaded = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    for model in [&grown, &loaded] {
        let labels = model.graph().labels().unwrap();
        let names: Vec<&str> = labels.iter().map(|label| label.name).collect();
        assert_eq!(names, ["cat", "dog", "fox", "class 3", "class 4"]);
        assert_eq!(labels.find_synset("b"), Some(1));
        assert_eq!(labels.get(4).unwrap().synset, None);
    }
}

#[test]
fn the_same_number_of_classes_changes_nothing() {
    let [head, _] = heads();
    let model = classifier(head);
    let same = model.grow_classes("scores", 3).unwrap();
    assert_eq!(last(&same).contract, Contract::Exact);
    let x = noise((2, 2, 4, 4), 1);
    let forward = |model: &Model| values(&model.forward(&x).unwrap());
    assert_eq!(forward(&model), forward(&same));
}

#[test]
fn classes_that_other_layers_read_are_refused() {
    let [dense, conv] = heads();
    let read = classifier(conv);
    let error = read.grow_classes("scores", 4).unwrap_err().to_string();
    assert!(error.contains("\"pool\""), "{error}");
    let model = classifier(dense);
    for (layer, classes) in [("scores", 2), ("scores", usize::MAX), ("softmax", 4)] {
        let error = model.grow_classes(layer, classes).unwrap_err();
        assert!(
            matches!(error, vgg_surgery::Error::IllegalEdit { .. }),
            "{error}"
        );
    }
    let graph = Vgg16::options()
        .widths(16)
        .hidden(8)
        .classes(4)
        .untrained(0);
    let network = graph.unwrap().build(&Device::Cpu).unwrap();
    let error = network.grow_classes("fc2", 20).unwrap_err().to_string();
    assert!(error.contains("\"predictions\""), "{error}");
}

/// Its probabilities would become those of a softmax.
#[test]
fn a_single_output_for_two_classes_is_not_grown() {
    let head = |out| Head::new().flatten("flatten").dense("out", out);
    let built = |out| {
        let graph = Graph::new("pets", (2, 4, 4)).unwrap().attach(head(out));
        graph.unwrap().build(&Device::Cpu).unwrap()
    };
    let model = built(Dense::new(1).sigmoid());
    let error = model.grow_classes("out", 3).unwrap_err();
    let reason = "its single value stands for two classes; for 3 use replace(\"out\", ..) with a \
                  layer of 3 outputs that ends in a softmax, and train it";
    let expected = vgg_surgery::Error::IllegalEdit {
        layer: "out".to_string(),
        reason: reason.to_string(),
    };
    assert_eq!(format!("{error:?}"), format!("{expected:?}"));
    let same = model.grow_classes("out", 2).unwrap();
    assert_eq!(last(&same).contract, Contract::Exact);
    assert!(model.grow_classes("out", 1).is_err());
    let quantity = built(Dense::new(1)).grow_classes("out", 3).unwrap();
    assert_eq!(quantity.graph().classes(), 3);
}
