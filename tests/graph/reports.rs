//! Summary, plan, diagrams, diff and provenance.

use std::fmt;

use candle_core::{DType, Tensor};
use vgg_surgery::graph::{Fate, Shape};
use vgg_surgery::layers::{AdaptiveAvgPool2d, Add, Concat, Custom, CustomLayer, Upsample};
use vgg_surgery::{
    BatchNorm2d, Conv2d, Dense, Graph, Head, MaxPool2d, Vgg16, Vgg16Bn, Vgg19, WeightSet,
};

use crate::{two_blocks, two_trained_blocks, whole};

fn cut_with_head() -> Graph {
    two_trained_blocks()
        .truncate("block1_pool")
        .unwrap()
        .freeze_all()
        .attach(
            Head::new()
                .global_avg_pool2d("pool")
                .dense("out", Dense::new(2)),
        )
        .unwrap()
}

fn joined() -> Graph {
    let mut graph = two_blocks();
    let a = graph.node_id("block1_pool").unwrap();
    let b = graph.node_id("block2_pool").unwrap();
    let b = graph.add("up", Upsample::to(a), [b]).unwrap();
    let x = graph.add("join", Concat::channels(), [a, b]).unwrap();
    graph.with_outputs([x]).unwrap()
}

#[test]
fn summary_of_a_chain() {
    insta::assert_snapshot!("summary_of_a_chain", cut_with_head().summary());
}

#[test]
fn summary_of_branches() {
    insta::assert_snapshot!("summary_of_branches", joined().summary());
}

#[test]
fn summary_adds_up() {
    for graph in [cut_with_head(), joined(), whole(), Vgg16Bn::untrained(0)] {
        let summary = graph.summary();
        let parameters: u64 = summary.rows.iter().map(|row| row.parameters).sum();
        assert_eq!(parameters, summary.parameters);
        assert_eq!(summary.parameters, graph.plan().parameters);
        assert_eq!(summary.trainable, graph.plan().trainable);
        assert_eq!(summary.rows.len(), graph.len());
    }
    let keras = Vgg16::untrained(0).summary().to_string();
    assert!(keras.contains("\nTotal params: 138,357,544 (553.4 MB)\n"));
}

/// 15.47 GMAC, as published of VGG16: every layer's output values times what
/// each takes, by hand.
#[test]
fn macs_of_vgg16() {
    let at = |size| Vgg16::untrained(0).input((3, size, size)).unwrap();
    let convolutions: u64 = [
        (224u64, 3u64, 64u64),
        (224, 64, 64),
        (112, 64, 128),
        (112, 128, 128),
        (56, 128, 256),
        (56, 256, 256),
        (56, 256, 256),
        (28, 256, 512),
        (28, 512, 512),
        (28, 512, 512),
        (14, 512, 512),
        (14, 512, 512),
        (14, 512, 512),
    ]
    .iter()
    .map(|(side, from, to)| side * side * from * to * 9)
    .sum();
    let dense = 25_088 * 4096 + 4096 * 4096 + 4096 * 1000;
    assert_eq!(convolutions + dense, 15_470_264_320);
    assert_eq!(at(224).plan().macs, Some(15_470_264_320));
    let trunk = at(224).without_top().unwrap();
    assert_eq!(trunk.plan().macs, Some(convolutions));
    assert_eq!(Vgg16::untrained(0).plan().macs, None);
    let grouped = Graph::new("g", (8, 5, 5)).unwrap();
    let conv = Conv2d::new(4, (3, 1)).groups(2).stride(2).padding((1, 0));
    let grouped = grouped.attach(conv).unwrap();
    assert_eq!(grouped.plan().macs, Some(4 * 3 * 3 * (8 / 2) * 3));
}

#[test]
fn bytes_to_fetch() {
    let bytes = |graph: Graph| graph.plan().bytes_to_fetch;
    let cut = || Vgg16::pretrained().truncate("block2_pool").unwrap();
    assert_eq!(bytes(cut()), 1_040_640);
    let trunk = Vgg16::pretrained().without_top().unwrap();
    assert_eq!(bytes(trunk), 14_714_688 * 4);
    assert_eq!(bytes(Vgg16::pretrained()), 138_357_544 * 4);
    assert_eq!(bytes(Vgg16::untrained(0)), 0);
    let mixed = cut().replace("conv1_1", Conv2d::new(64, 5).same()).unwrap();
    assert_eq!(bytes(mixed), 1_040_640 - 1_792 * 4);
    let half = Vgg16::imagenet_weights().stored_as(DType::F16);
    let half = Vgg16::pretrained_from(half).truncate("block2_pool");
    assert_eq!(bytes(half.unwrap()), 1_040_640 / 2);
    let local = Vgg16::pretrained_from("w.safetensors");
    let local = local.truncate("block2_pool").unwrap().plan();
    assert_eq!((local.bytes_to_fetch, local.bytes_to_read), (0, 1_040_640));
    let ten = Vgg16::options().classes(10).pretrained().unwrap();
    assert_eq!(bytes(ten), (138_357_544 - 4_097_000) * 4);
    let plan = cut().plan().to_string();
    assert!(plan.starts_with("to fetch:        1.0 MB\n"), "{plan}");
}

/// The receptive fields of VGG16's pools as published (for instance in Araujo
/// et al. 2019): 6, 16, 44, 100, 212.
#[test]
fn receptive_fields_and_strides() {
    let field = |graph: Graph| {
        let output = graph.plan().outputs.remove(0);
        (output.receptive_field, output.stride)
    };
    for (block, side, stride) in [
        (1, 6, 2.0),
        (2, 16, 4.0),
        (3, 44, 8.0),
        (4, 100, 16.0),
        (5, 212, 32.0),
    ] {
        let graph = Vgg16::untrained(0).truncate(format!("pool{block}"));
        let expected = (Some((side, side)), Some((stride, stride)));
        assert_eq!(field(graph.unwrap()), expected, "pool{block}");
    }
    let last = Vgg16::untrained(0).truncate("block5_conv3").unwrap();
    assert_eq!(field(last).0, Some((196, 196)));
    let vgg19 = Vgg19::untrained(0).truncate("pool5").unwrap();
    assert_eq!(field(vgg19).0, Some((268, 268)));
    assert_eq!(field(Vgg16::untrained(0)), (None, None));
    let input = Vgg16::untrained(0).truncate("input").unwrap();
    assert_eq!(field(input), (Some((1, 1)), Some((1.0, 1.0))));
    let dilated = Graph::new("g", Shape::any_size(1)).unwrap();
    let conv = Conv2d::new(1, (3, 5)).dilation((2, 1)).stride((1, 2));
    let dilated = dilated.attach([conv, Conv2d::new(1, (3, 3))]).unwrap();
    assert_eq!(field(dilated), (Some((7, 9)), Some((1.0, 2.0))));
    assert_eq!(field(joined()), (Some((16, 16)), Some((2.0, 2.0))));
}

#[test]
fn smallest_inputs() {
    let smallest = |graph: Graph| graph.plan().smallest_input;
    for (block, side) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32)] {
        let graph = Vgg16::untrained(0).truncate(format!("pool{block}"));
        assert_eq!(smallest(graph.unwrap()), Some((side, side)));
    }
    assert_eq!(smallest(Vgg16::untrained(0)), Some((32, 32)));
    let sized = Vgg16::untrained(0).input((3, 224, 160)).unwrap();
    assert_eq!(smallest(sized), Some((32, 32)));
    let valid = Graph::new("g", (1, 9, 9)).unwrap();
    let valid = valid.attach(Conv2d::new(1, (3, 7))).unwrap();
    assert_eq!(smallest(valid), Some((7, 7)));
    let vector = Graph::new("g", 5).unwrap().attach(Dense::new(1)).unwrap();
    assert_eq!(smallest(vector), None);
    // 25088 inputs are trained: 224 to 255 pixels pool to 7.
    let keras = Vgg16::options().top(vgg_surgery::vgg::Top::Keras);
    let keras = keras.pretrained_from("w.safetensors").unwrap();
    assert_eq!(smallest(keras), Some((224, 224)));
}

/// Whatever must be a multiple of 4 is not legal at every size from its least.
#[test]
fn the_smallest_input_of_branches_that_only_sometimes_fit() {
    for size in [Shape::any_size(3), Shape::map(3, 96, 96)] {
        let mut graph = Graph::new("u", size).unwrap();
        let input = graph.node_id("input").unwrap();
        let down = graph.add("down", MaxPool2d::new(4), [input]).unwrap();
        let up = graph.add("up", Upsample::times(4), [down]).unwrap();
        let sum = graph.add("sum", Add, [input, up]).unwrap();
        let graph = graph.with_outputs([sum]).unwrap();
        assert_eq!(graph.plan().smallest_input, Some((4, 4)), "{size}");
    }
}

#[test]
fn activation_bytes() {
    let plan = two_blocks().plan();
    // Alive at most: block1_conv1's output and block1_conv2's, 4x32x32 each.
    assert_eq!(plan.activation_bytes, Some(2 * 4 * 32 * 32 * 4));
    let values = 3 * 1024 + 2 * 4 * 1024 + 4 * 256 + 2 * 8 * 256 + 8 * 64;
    assert_eq!(plan.training_activation_bytes, Some(values * 4));
    let unknown = two_blocks().input(Shape::any_size(3)).unwrap().plan();
    assert_eq!(unknown.activation_bytes, None);
    assert_eq!(unknown.training_activation_bytes, None);
    // block1_pool's 4x16x16 are kept beside conv2_1's and conv2_2's 8x16x16.
    let kept = joined().truncate("block2_conv2").unwrap();
    let outputs = kept.with_outputs(["block1_pool", "block2_conv2"]);
    let bytes = outputs.unwrap().slice("block2_conv1"..).unwrap().plan();
    assert_eq!(bytes.activation_bytes, Some(2 * 8 * 256 * 4));
}

#[test]
fn diagrams() {
    insta::assert_snapshot!("dot", cut_with_head().to_dot());
    insta::assert_snapshot!("mermaid", cut_with_head().to_mermaid());
    assert!(joined().to_mermaid().contains("  n3 --> n8\n  n7 --> n8\n"));
}

#[test]
fn diagrams_escape_names() {
    let graph = Graph::new("a\"b\\", (1, 4, 4)).unwrap();
    let graph = graph.attach(MaxPool2d::new(2).named("<b>&\\")).unwrap();
    let dot = graph.to_dot();
    assert!(dot.starts_with("digraph \"a\\\"b\\\\\" {"), "{dot}");
    assert!(dot.contains("label=\"<b>&\\\\\\nMaxPool2d 2x2\\n(1, 2, 2)\""));
    assert!(
        graph
            .to_mermaid()
            .contains("[\"&lt;b&gt;&amp;\\<br/>MaxPool2d 2x2<br/>(1, 2, 2)\"]")
    );
}

#[test]
fn diff_names_what_changed() {
    let before = two_trained_blocks();
    let after = before
        .clone()
        .replace("block1_conv1", Conv2d::new(4, 5).same().gelu())
        .and_then(|graph| graph.freeze("block1_conv2"))
        .and_then(|graph| graph.remove("block1_pool"))
        .and_then(|graph| graph.insert_after("block2_pool", BatchNorm2d::new().named("bn")))
        .unwrap();
    insta::assert_snapshot!("diff", before.diff(&after));
    assert!(before.diff(&before).is_empty());
    assert_eq!(before.diff(&before).to_string(), "");
}

#[test]
fn diff_sees_every_setting() {
    let graph = || {
        let head = Head::new()
            .batch_norm2d("bn", BatchNorm2d::new())
            .flatten("flat")
            .dense("fc", Dense::new(3));
        two_blocks().attach(head).unwrap()
    };
    let differs = |edit: fn(Graph) -> vgg_surgery::Result<Graph>| {
        let diff = graph().diff(&edit(graph()).unwrap());
        assert!(!diff.is_empty());
        diff.changed[0].0.clone()
    };
    assert_eq!(
        differs(|g| g.replace("bn", BatchNorm2d::new().eps(1e-3))),
        "bn"
    );
    assert_eq!(
        differs(|g| g.replace("bn", BatchNorm2d::new().momentum(0.01))),
        "bn"
    );
    assert_eq!(
        differs(|g| g.replace("fc", Dense::new(3).without_bias())),
        "fc"
    );
    assert_eq!(
        differs(|g| g.replace("flat", vgg_surgery::Flatten::hwc())),
        "flat"
    );
    let he = || Conv2d::new(4, 3).same().relu();
    let he = graph()
        .replace(
            "conv1_1",
            he().kernel_init(vgg_surgery::layers::Init::HeNormal),
        )
        .unwrap();
    assert_eq!(graph().diff(&he).changed[0].0, "block1_conv1");
    let outputs = graph().with_outputs(["fc", "flat"]).unwrap();
    let other = graph().with_outputs(["flat", "fc"]).unwrap();
    assert!(!outputs.diff(&other).is_empty());
    assert!(!graph().diff(&outputs).is_empty());
}

#[test]
fn provenance_tells_of_every_parameter() {
    let graph = two_trained_blocks()
        .replace("conv1_1"..="conv1_2", Conv2d::new(4, 5).same().named("new"))
        .and_then(|graph| graph.reinitialize("conv2_1"))
        .and_then(|graph| graph.truncate("conv2_2"))
        .and_then(|graph| graph.attach(BatchNorm2d::new().named("bn")))
        .unwrap();
    let text: Vec<String> = graph.provenance().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("provenance", text.join("\n"));
}

#[test]
fn provenance_of_a_new_network() {
    let graph = two_blocks().seed(11);
    for parameter in graph.provenance().iter().take(8) {
        let reason = "seed 11".to_string();
        assert_eq!(parameter.fate, Fate::New { reason });
    }
    let weights = WeightSet::hub("me/mine").revision("v1");
    let graph = Vgg16::pretrained_from(weights);
    let source = "me/mine@v1".to_string();
    assert_eq!(graph.provenance()[0].fate, Fate::Kept { source });
}

/// A layer that declares the largest shapes there are.
struct Huge;

impl fmt::Debug for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Huge")
    }
}

impl CustomLayer for Huge {
    fn kind(&self) -> &str {
        "Huge"
    }
    fn infer(&self, _: &[Shape]) -> Result<Shape, String> {
        Ok(Shape::map(usize::MAX, usize::MAX, usize::MAX))
    }
    fn forward(&self, _: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        candle_core::bail!("not to be run")
    }
}

#[test]
fn counts_that_no_number_holds_saturate() {
    const MOST: usize = 1 << 24;
    let graph = Graph::new("g", Shape::any_size(MOST)).unwrap();
    let conv = || Conv2d::new(MOST, 1 << 12);
    let graph = graph.attach([conv(), conv()]).unwrap();
    assert_eq!(graph.parameter_count(), u64::MAX);
    assert_eq!(graph.trainable_count(), u64::MAX);
    assert!(!graph.summary().to_string().is_empty());
    assert!(!graph.plan().to_string().is_empty());
    let frozen = graph.freeze_all();
    assert_eq!(frozen.trainable_count(), 0);
    assert!(!frozen.summary().to_string().is_empty());
}

#[test]
fn a_summary_with_counts_of_the_callers_prints() {
    let mut summary = two_blocks().summary();
    summary.trainable = summary.parameters + 1;
    let text = summary.to_string();
    assert!(text.contains("Non-trainable params: 0 (0 B)"), "{text}");
}

#[test]
fn a_custom_layer_may_not_declare_absurd_shapes() {
    let error = two_blocks()
        .attach(Custom::new(Huge).named("huge"))
        .unwrap_err();
    assert_eq!(error.layer(), Some("huge"));
    assert!(matches!(error, vgg_surgery::Error::InvalidLayer { .. }));
    let pooled = two_blocks().attach(AdaptiveAvgPool2d::new(usize::MAX));
    assert!(pooled.is_err());
}

/// Said below the table where a classifier was not cut off, and only there.
#[test]
fn a_summary_warns_of_a_head_behind_a_softmax() {
    let head = || {
        Head::new()
            .dense("head_fc", Dense::new(8).sigmoid())
            .dense("head_out", Dense::new(3).softmax())
    };
    let summary = Vgg16::untrained(0).attach(head()).unwrap().summary();
    let warning = "\"head_fc\" reads class scores, the softmax of \"predictions\"; use truncate(..) or \
                   without_top() before attach(..)";
    assert_eq!(summary.warnings, [warning]);
    assert!(
        summary
            .to_string()
            .ends_with(&format!("Warning: {warning}\n"))
    );
    let cut = Vgg16::untrained(0).truncate("fc2").unwrap();
    assert!(cut.attach(head()).unwrap().summary().warnings.is_empty());
    // Gates and joined scores are meant.
    let mut gated = Vgg16::untrained(0).truncate("fc2").unwrap();
    let trunk = gated.outputs()[0];
    let gate = gated
        .add("gate", Dense::new(4096).softmax(), [trunk])
        .unwrap();
    let product = gated.add("sum", Add, [trunk, gate]).unwrap();
    let out = gated.add("out", Dense::new(3), [product]).unwrap();
    assert!(
        gated
            .with_outputs([out])
            .unwrap()
            .summary()
            .warnings
            .is_empty()
    );
}
