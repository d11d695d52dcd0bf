//! The family against the literature's tables: Keras' and torchvision's
//! parameter counts, names and indices.

use vgg_surgery::{
    Activation, Conv2d, Dense, Dropout, Error, Graph, Labels, MaxPool2d, Pooling, Preprocessing,
    Shape, Top, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn, VggOptions,
    WeightSet,
};

use crate::{assert_error, lines, names};

/// Configurations A, B, D and E of Simonyan and Zisserman 2014, table 1.
const A: [usize; 5] = [1, 1, 2, 2, 2];
const B: [usize; 5] = [2, 2, 2, 2, 2];
const D: [usize; 5] = [2, 2, 3, 3, 3];
const E: [usize; 5] = [2, 2, 4, 4, 4];

struct Row {
    name: &'static str,
    options: VggOptions,
    convolutions: [usize; 5],
    batch_norm: bool,
    /// With the classifier, as torchvision counts.
    parameters: u64,
}

/// Running statistics are buffers to torchvision: its totals leave them out.
fn family() -> [Row; 8] {
    let row = |name, options, convolutions, batch_norm, parameters| Row {
        name,
        options,
        convolutions,
        batch_norm,
        parameters,
    };
    [
        row("vgg11", Vgg11::options(), A, false, 132_863_336),
        row("vgg13", Vgg13::options(), B, false, 133_047_848),
        row("vgg16", Vgg16::options(), D, false, 138_357_544),
        row("vgg19", Vgg19::options(), E, false, 143_667_240),
        row("vgg11_bn", Vgg11Bn::options(), A, true, 132_868_840),
        row("vgg13_bn", Vgg13Bn::options(), B, true, 133_053_736),
        row("vgg16_bn", Vgg16Bn::options(), D, true, 138_365_992),
        row("vgg19_bn", Vgg19Bn::options(), E, true, 143_678_248),
    ]
}

/// What the classifier has at 512x7x7, two hidden layers of 4096, 1000 classes.
const CLASSIFIER: u64 = 102_764_544 + 16_781_312 + 4_097_000;

/// Channels of all batch norms together.
fn normed_channels(convolutions: [usize; 5]) -> u64 {
    let blocks = convolutions.iter().zip([64u64, 128, 256, 512, 512]);
    blocks.map(|(&count, filters)| count as u64 * filters).sum()
}

#[test]
fn parameter_counts_are_those_of_the_literature() {
    for row in family() {
        let graph = row.options.untrained(0).unwrap();
        assert_eq!(graph.name(), row.name);
        assert_eq!(graph.trainable_count(), row.parameters, "{}", row.name);
        let channels = normed_channels(row.convolutions);
        let buffers = if row.batch_norm { 2 * channels } else { 0 };
        assert_eq!(graph.parameter_count(), row.parameters + buffers);
        let trunk = row.options.clone().no_top().untrained(0).unwrap();
        assert_eq!(trunk.trainable_count(), row.parameters - CLASSIFIER);
        let cut = graph.without_top().unwrap();
        assert_eq!(cut.trainable_count(), row.parameters - CLASSIFIER);
        assert_eq!(names(&cut), names(&trunk));
    }
    let without_top = |options: VggOptions| options.no_top().untrained(0).unwrap();
    for (options, parameters) in [
        (Vgg11::options(), 9_220_480),
        (Vgg13::options(), 9_404_992),
        (Vgg16::options(), 14_714_688),
        (Vgg19::options(), 20_024_384),
    ] {
        assert_eq!(without_top(options).parameter_count(), parameters);
    }
}

/// Keras' names for a configuration, each with torchvision's indices: of the
/// convolution, the batch norm if there is one, and the ReLU; or of the pool.
fn expected_names(convolutions: [usize; 5], batch_norm: bool) -> Vec<(String, Vec<usize>)> {
    let mut names = Vec::new();
    let mut next = 0;
    for (block, count) in (1..).zip(convolutions) {
        for place in 1..=count {
            let indices = if batch_norm { 3 } else { 2 };
            let name = format!("block{block}_conv{place}");
            names.push((name, (next..next + indices).collect()));
            next += indices;
        }
        names.push((format!("block{block}_pool"), vec![next]));
        next += 1;
    }
    names
}

#[test]
fn names_are_keras_and_indices_torchvisions() {
    for row in family() {
        let graph = row.options.untrained(0).unwrap();
        let mut expected = vec!["input".to_string()];
        let name_of = |index: &usize| {
            let node = graph.get(format!("features.{index}")).unwrap();
            node.name().to_string()
        };
        for (name, indices) in expected_names(row.convolutions, row.batch_norm) {
            let parts: Vec<String> = match (indices.len(), row.batch_norm) {
                (3, true) => vec![
                    name.clone(),
                    name.replace("conv", "bn"),
                    name.replace("conv", "relu"),
                ],
                (2, false) => vec![name.clone(), name.clone()],
                _ => vec![name.clone()],
            };
            let found: Vec<String> = indices.iter().map(name_of).collect();
            assert_eq!(found, parts, "{}", row.name);
            expected.extend(parts);
        }
        expected.dedup();
        let tail = ["avgpool", "flatten", "fc1", "fc2", "predictions"];
        expected.extend(tail.map(str::to_string));
        assert_eq!(names(&graph), expected, "{}", row.name);
    }
}

#[test]
fn vgg19s_indices_are_those_of_its_published_table() {
    let graph = Vgg19::untrained(0);
    let is = |index: usize, name: &str| {
        let node = graph.get(format!("features.{index}")).unwrap();
        assert_eq!(node.name(), name);
    };
    let convolutions = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34];
    let own = names(&graph);
    let conv_names = own.iter().filter(|name| name.contains("conv"));
    for (index, name) in convolutions.into_iter().zip(conv_names) {
        is(index, name);
        is(index + 1, name);
    }
    for (block, index) in (1..).zip([4, 9, 18, 27, 36]) {
        is(index, &format!("block{block}_pool"));
    }
    assert!(graph.get("features.37").is_err());
}

#[test]
fn the_four_dialects_agree() {
    let plain = Vgg16::untrained(0);
    let normed = Vgg16Bn::untrained(0);
    let with_dropout = Vgg16::options().dropout(0.5).untrained(0).unwrap();
    let same = |graph: &Graph, name: &str, aliases: &[&str]| {
        for alias in aliases {
            assert_eq!(graph.get(alias).unwrap().name(), name, "{alias}");
        }
    };
    same(
        &plain,
        "block2_conv2",
        &["conv2_2", "relu2_2", "features.7", "features.8"],
    );
    same(
        &plain,
        "block5_conv3",
        &["conv5_3", "relu5_3", "features.28", "features.29"],
    );
    same(&plain, "block2_pool", &["pool2", "features.9"]);
    let fc1 = [
        "fc6",
        "relu6",
        "classifier.0",
        "classifier.1",
        "pre_logits.fc1",
    ];
    same(&plain, "fc1", &fc1);
    same(&plain, "fc1", &["classifier.2"]);
    same(
        &plain,
        "fc2",
        &[
            "fc7",
            "relu7",
            "classifier.3",
            "classifier.4",
            "pre_logits.fc2",
        ],
    );
    same(
        &plain,
        "predictions",
        &["fc8", "prob", "classifier.6", "head.fc"],
    );
    same(&with_dropout, "fc1", &fc1);
    same(&with_dropout, "fc1_dropout", &["classifier.2", "drop6"]);
    same(&with_dropout, "fc2_dropout", &["classifier.5", "drop7"]);
    same(&normed, "block1_conv1", &["conv1_1", "features.0"]);
    same(&normed, "block1_bn1", &["bn1_1", "features.1"]);
    same(&normed, "block1_relu1", &["relu1_1", "features.2"]);
    same(&normed, "block5_pool", &["pool5", "features.43"]);
}

/// Names that mean the value before an activation have no node of their own.
#[test]
fn dialects_that_number_the_activation_mean_the_value_before_it() {
    let graph = Vgg16::untrained(0);
    let before = [
        "features.0",
        "features.28",
        "classifier.0",
        "classifier.3",
        "classifier.6",
        "pre_logits.fc1",
        "head.fc",
        "fc8",
    ];
    for name in before {
        assert!(graph.node(name).is_err(), "{name}");
    }
    let after = [
        "features.1",
        "conv1_1",
        "relu1_1",
        "classifier.1",
        "fc6",
        "pre_logits.act1",
        "prob",
        "predictions",
    ];
    for name in after {
        assert!(graph.node(name).is_ok(), "{name}");
    }
    assert!(Vgg16Bn::untrained(0).node("features.0").is_ok());
}

#[test]
fn layers_are_set_as_the_paper_says() {
    let graph = Vgg16::untrained(0);
    let conv: &Conv2d = graph.layer("block3_conv2").unwrap();
    assert_eq!(conv, &Conv2d::new(256, 3).same().relu());
    let pool: &MaxPool2d = graph.layer("block3_pool").unwrap();
    assert_eq!(pool, &MaxPool2d::new(2));
    let predictions: &Dense = graph.layer("predictions").unwrap();
    assert_eq!(predictions, &Dense::new(1000).softmax());
    assert_eq!(graph.input_shape(), Shape::any_size(3));
    let normed = Vgg16Bn::untrained(0);
    let bare: &Conv2d = normed.layer("block1_conv1").unwrap();
    assert_eq!(bare, &Conv2d::new(64, 3).same());
}

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
    assert!(tail(small().no_top()).is_empty());
    assert_eq!(
        tail(small().no_top().pooling(Pooling::Average)),
        ["avg_pool GlobalAvgPool2d (32)"]
    );
    assert_eq!(
        tail(small().no_top().pooling(Pooling::Max)),
        ["max_pool GlobalMaxPool2d (32)"]
    );
    let graph = small().dropout(0.25).untrained(0).unwrap();
    assert_eq!(graph.layer::<Dropout>("drop6").unwrap().rate, 0.25);
}

#[test]
fn options_of_the_input_and_the_widths() {
    let grey = Vgg11::options().in_channels(1).untrained(0).unwrap();
    assert_eq!(grey.input_shape(), Shape::any_size(1));
    let weight = grey.get("block1_conv1").unwrap().parameters()[0].shape();
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
    let reason = "pooling closes a network without a classifier; add no_top()";
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
    assert_eq!(graph.licence(), Some("BSD-3-Clause"));
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
