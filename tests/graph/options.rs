//! Options of the family's entry points.

use vgg_surgery::graph::{Fate, Shape};
use vgg_surgery::layers::Pooling;
use vgg_surgery::vgg::Top;
use vgg_surgery::{
    Activation, Conv2d, Dense, Dropout, Error, Labels, Preprocessing, Vgg11, Vgg16, VggOptions,
    WeightSet,
};

use crate::{assert_error, lines};

#[test]
fn options_of_the_classifier() {
    let small = || Vgg11::options().widths(16);
    let tail = |options: VggOptions| {
        let lines = lines(&options.untrained(0).unwrap());
        let pool = lines
            .iter()
            .position(|line| line.starts_with("block5_pool"));
        lines[pool.unwrap() + 1..].to_vec()
    };
    let dense = ["fc1 Dense+relu (256)", "fc2 Dense+relu (256)"];
    let start = [
        "avgpool AdaptiveAvgPool2d (32, 7, 7)",
        "flatten Flatten (1568)",
    ];
    let softmax = ["predictions Dense+softmax (1000)"];
    assert_eq!(tail(small()), [&start[..], &dense, &softmax].concat());
    assert_eq!(
        tail(small().top(Top::Keras)),
        [&["flatten Flatten (1568)"][..], &dense, &softmax].concat()
    );
    let logits = small().classes(10).hidden(32).dropout(0.5);
    assert_eq!(
        tail(logits.classifier_activation(Activation::Linear)),
        [
            start[0],
            start[1],
            "fc1 Dense+relu (32)",
            "fc1_dropout Dropout (32)",
            "fc2 Dense+relu (32)",
            "fc2_dropout Dropout (32)",
            "predictions Dense (10)",
        ]
    );
    assert!(tail(small().without_top()).is_empty());
    assert_eq!(
        tail(small().without_top().pooling(Pooling::Average)),
        ["avg_pool GlobalAvgPool2d (32)"]
    );
    assert_eq!(
        tail(small().without_top().pooling(Pooling::Max)),
        ["max_pool GlobalMaxPool2d (32)"]
    );
    let graph = small().dropout(0.25).untrained(0).unwrap();
    assert_eq!(graph.layer::<Dropout>("drop6").unwrap().rate, 0.25);
}

#[test]
fn options_of_the_input_and_the_widths() {
    let gray = Vgg11::options().in_channels(1).untrained(0).unwrap();
    assert_eq!(gray.input_shape(), Shape::any_size(1));
    let weight = gray.node("block1_conv1").unwrap().parameters()[0].shape();
    assert_eq!(weight, [64, 1, 3, 3]);
    let set = Vgg11::options().in_channels(1).input((4, 64, 96));
    assert_eq!(
        set.untrained(0).unwrap().input_shape(),
        Shape::map(4, 64, 96)
    );
    let keras = Vgg11::options().widths(16).top(Top::Keras).untrained(0);
    assert_eq!(keras.unwrap().input_shape(), Shape::map(3, 224, 224));
    let filters = |divisor| {
        let graph = Vgg11::options().widths(divisor).untrained(0).unwrap();
        let channels = |name| graph.layer::<Conv2d>(name).unwrap().out_channels;
        let hidden = graph.layer::<Dense>("fc1").unwrap().units;
        (channels("conv1_1"), channels("conv5_1"), hidden)
    };
    assert_eq!(filters(1), (64, 512, 4096));
    assert_eq!(filters(16), (4, 32, 256));
    assert_eq!(filters(usize::MAX), (1, 1, 1));
}

#[test]
fn options_that_do_not_go_together() {
    let unsupported = |what: &'static str, reason: &str| Error::Unsupported {
        what,
        reason: reason.to_string(),
    };
    let what = "be made of these options";
    let error = Vgg16::options().widths(0).untrained(0).unwrap_err();
    let reason = "widths(0) would leave no filters; use 1 or more";
    assert_error(error, unsupported(what, reason), "widths(0)");
    let pooled = Vgg16::options().pooling(Pooling::Max);
    let reason = "pooling closes a network without a classifier; add without_top()";
    let error = pooled.untrained(0).unwrap_err();
    assert_error(
        error,
        unsupported(what, reason),
        "pooling under a classifier",
    );
    let what = "use ImageNet weights";
    let reason = "they are for 3 input channels, full widths and 4096 hidden features; use \
                  untrained, or change layers after pretrained()";
    let base = Vgg16::options;
    for options in [
        base().widths(2),
        base().hidden(100),
        base().in_channels(1),
        base().input((4, 224, 224)),
    ] {
        let error = options.pretrained().unwrap_err();
        assert_error(error, unsupported(what, reason), "ImageNet weights");
    }
    let invalid = |options: VggOptions, layer: &str| {
        let error = options.widths(16).untrained(0).unwrap_err();
        assert!(matches!(error, Error::InvalidLayer { .. }), "{error}");
        assert_eq!(error.layer(), Some(layer));
    };
    invalid(base().classes(0), "predictions");
    invalid(base().hidden(0), "fc1");
    invalid(base().dropout(1.0), "fc1_dropout");
    invalid(base().dropout(-0.1), "fc1_dropout");
    invalid(base().dropout(f64::NAN), "fc1_dropout");
    invalid(base().in_channels(0), "input");
    invalid(base().classes(usize::MAX), "predictions");
    let small = base().widths(16).input((3, 31, 32)).untrained(0);
    let error = small.unwrap_err();
    assert_eq!(error.layer(), Some("block5_pool"));
    assert!(matches!(error, Error::InputTooSmall { .. }));
    let vector = base().widths(16).input(10).untrained(0).unwrap_err();
    assert!(matches!(vector, Error::ShapeMismatch { .. }));
    let keras = base().widths(16).top(Top::Keras).input(Shape::any_size(3));
    let error = keras.untrained(0).unwrap_err();
    assert!(matches!(error, Error::UnknownSize { .. }));
    assert_eq!(error.layer(), Some("flatten"));
}

#[test]
fn weights_bring_their_companions() {
    let graph = Vgg16::pretrained();
    assert_eq!(graph.preprocessing(), Some(&Preprocessing::torchvision()));
    assert_eq!(graph.license(), Some("BSD-3-Clause"));
    assert_eq!(graph.labels(), Some(&Labels::imagenet()));
    let cut = graph.truncate("block2_pool").unwrap();
    assert!(cut.labels().is_none());
    assert!(cut.preprocessing().is_some());
    let ten = Vgg16::options().classes(10).pretrained().unwrap();
    assert!(ten.labels().is_none());
    let logits = Vgg16::pretrained().truncate("predictions:pre").unwrap();
    assert_eq!(logits.labels(), Some(&Labels::imagenet()));
    let plain = Vgg16::pretrained_from("weights.safetensors");
    assert!(plain.labels().is_none() && plain.preprocessing().is_none());
    let named = WeightSet::file("w.safetensors").labels(Labels::new(["a", "b"]));
    let two = Vgg16::options().classes(2).pretrained_from(named.clone());
    assert_eq!(two.unwrap().labels(), Some(&Labels::new(["a", "b"])));
    let three = Vgg16::options().classes(3).pretrained_from(named);
    assert!(three.unwrap().labels().is_none());
}

#[test]
fn without_a_number_of_classes_the_labels_say_it_and_no_head_starts_anew() {
    let ten =
        || WeightSet::file("w.safetensors").labels(Labels::new(('a'..='j').map(String::from)));
    let graph = Vgg16::pretrained_from(ten());
    assert_eq!(graph.output_shapes()[0].channels(), 10);
    assert_eq!(graph.labels().map(Labels::len), Some(10));
    let source = "w.safetensors".to_string();
    let mut fates = graph.provenance().into_iter().map(|found| found.fate);
    assert!(fates.all(|fate| fate
        == Fate::Kept {
            source: source.clone()
        }));
    let nobody = Labels::new(Vec::<String>::new());
    let unnamed = WeightSet::file("w.safetensors").labels(nobody);
    let graph = Vgg16::pretrained_from(unnamed);
    assert_eq!(graph.output_shapes()[0].channels(), 1000);
    assert!(graph.labels().is_none());
}

#[test]
fn keras_top_with_weights_takes_the_size_that_they_were_trained_on() {
    let options = Vgg16::options().top(Top::Keras).input((3, 160, 160));
    let expected = Error::ShapeMismatch {
        layer: "fc1".to_string(),
        expected: "the 7x7 map that its weights were trained on (an input of 224x224, or \
                   Top::Torchvision for any size)"
            .to_string(),
        actual: Shape::map(512, 5, 5),
    };
    assert_error(options.pretrained().unwrap_err(), expected, "160x160");
    assert!(options.untrained(0).is_ok());
}

#[test]
fn debug_output_is_short() {
    let shown = format!("{:?}", Vgg16::untrained(0));
    let expected = "Graph { name: \"vgg16\", layers: 24, parameters: 138357544, .. }";
    assert_eq!(shown, expected);
}
