//! The family against the literature's tables: Keras' and torchvision's
//! parameter counts, names and indices.

use vgg_surgery::graph::Shape;
use vgg_surgery::{
    Conv2d, Dense, Graph, MaxPool2d, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19,
    Vgg19Bn, VggOptions,
};

use crate::names;

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
        let trunk = row.options.clone().without_top().untrained(0).unwrap();
        assert_eq!(trunk.trainable_count(), row.parameters - CLASSIFIER);
        let cut = graph.without_top().unwrap();
        assert_eq!(cut.trainable_count(), row.parameters - CLASSIFIER);
        assert_eq!(names(&cut), names(&trunk));
    }
    let without_top = |options: VggOptions| options.without_top().untrained(0).unwrap();
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
            let node = graph.node(format!("features.{index}")).unwrap();
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
fn constants_are_the_names_of_the_layers() {
    use vgg_surgery::vgg::{vgg11, vgg13, vgg16, vgg19};
    macro_rules! values {
        ($family:ident: $($constant:ident),*) => { vec![$($family::$constant),*] };
    }
    let of_11 = values!(vgg11: INPUT, BLOCK1_CONV1, BLOCK1_POOL, BLOCK2_CONV1, BLOCK2_POOL,
        BLOCK3_CONV1, BLOCK3_CONV2, BLOCK3_POOL, BLOCK4_CONV1, BLOCK4_CONV2, BLOCK4_POOL,
        BLOCK5_CONV1, BLOCK5_CONV2, BLOCK5_POOL, AVGPOOL, FLATTEN, FC1, FC2, PREDICTIONS);
    let of_13 = values!(vgg13: BLOCK1_CONV2, BLOCK2_CONV2);
    let of_16 = values!(vgg16: BLOCK3_CONV3, BLOCK4_CONV3, BLOCK5_CONV3);
    let of_19 = values!(vgg19: BLOCK3_CONV4, BLOCK4_CONV4, BLOCK5_CONV4);
    assert_eq!(vgg19::FC1, vgg11::FC1);
    let mut constants = Vec::new();
    for (more, graph) in [
        (of_11, Vgg11::untrained(0)),
        (of_13, Vgg13::untrained(0)),
        (of_16, Vgg16::untrained(0)),
        (of_19, Vgg19::untrained(0)),
    ] {
        constants.extend(more);
        let mut names = names(&graph);
        names.sort_unstable();
        constants.sort_unstable();
        assert_eq!(constants, names);
    }
}

#[test]
fn vgg19s_indices_are_those_of_its_published_table() {
    let graph = Vgg19::untrained(0);
    let is = |index: usize, name: &str| {
        let node = graph.node(format!("features.{index}")).unwrap();
        assert_eq!(node.name(), name);
    };
    let convolutions = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34];
    let own = names(&graph);
    let conv_names: Vec<_> = own.iter().filter(|name| name.contains("conv")).collect();
    assert_eq!(conv_names.len(), convolutions.len());
    for (index, name) in convolutions.into_iter().zip(conv_names) {
        is(index, name);
        is(index + 1, name);
    }
    for (block, index) in (1..).zip([4, 9, 18, 27, 36]) {
        is(index, &format!("block{block}_pool"));
    }
    assert!(graph.node("features.37").is_err());
}

#[test]
fn the_four_dialects_agree() {
    let plain = Vgg16::untrained(0);
    let normed = Vgg16Bn::untrained(0);
    let with_dropout = Vgg16::options().dropout(0.5).untrained(0).unwrap();
    let same = |graph: &Graph, name: &str, aliases: &[&str]| {
        for alias in aliases {
            assert_eq!(graph.node(alias).unwrap().name(), name, "{alias}");
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
        assert!(graph.node_id(name).is_err(), "{name}");
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
        assert!(graph.node_id(name).is_ok(), "{name}");
    }
    assert!(Vgg16Bn::untrained(0).node_id("features.0").is_ok());
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
