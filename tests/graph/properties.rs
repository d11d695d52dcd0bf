//! Laws that hold of any graph, reached by random edits of a small network.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use vgg_surgery::graph::{Fate, Node, NodeId, Shape};
use vgg_surgery::layers::{Concat, Layer, ZeroPad2d};
use vgg_surgery::{AvgPool2d, Conv2d, Graph, Model, Result};

use crate::edits::assert_sound;
use crate::random_layers::some_layers;
use crate::{lines, whole};

/// One random edit: which, and where.
#[derive(Clone, Copy, Debug)]
struct Edit {
    verb: u8,
    first: usize,
    second: usize,
    layer: u8,
}

const VERBS: u8 = 18;

/// Verbs that draw values again, or set another input.
const REINITIALIZE: u8 = 16;
const INPUT: u8 = 17;

prop_compose! {
    fn any_edit()(
        verb in 0..VERBS,
        first in 0usize..64,
        second in 0usize..64,
        layer in 0u8..7,
    ) -> Edit {
        Edit { verb, first, second, layer }
    }
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any_edit(), 1..8)
}

fn base() -> Graph {
    let graph = whole().truncate("block3_pool").unwrap();
    graph.input((3, 16, 16)).unwrap()
}

impl Edit {
    fn apply(self, mut graph: Graph) -> Result<Graph> {
        let name = |place: usize| {
            let node = graph.nodes().nth(place % graph.len());
            node.unwrap().name().to_string()
        };
        let (first, second) = (name(self.first), name(self.second));
        let range = first.clone()..=second.clone();
        let layers = some_layers(self.layer.into());
        match self.verb {
            0 => graph.truncate(first),
            1 => graph.truncate(format!("{first}:pre")),
            2 => graph.slice(range),
            3 => graph.remove(first),
            4 => graph.remove([format!("{first}:pre"), second]),
            5 => graph.replace(first, layers),
            6 => graph.replace(range, layers),
            7 => graph.insert_before(first, layers),
            8 => graph.insert_after(first, layers),
            9 => graph.insert_after(format!("{first}:pre"), layers),
            10 => graph.rename(first, format!("layer {}", self.second)),
            11 => graph.prefix("p_"),
            12 => graph.freeze(range),
            13 => graph.unfreeze([first, second]),
            14 => graph.attach(layers),
            15 => {
                let ids: Vec<NodeId> = [&first, &second]
                    .iter()
                    .map(|name| graph.node_id(name))
                    .collect::<Result<_>>()?;
                let join = format!("join {}", self.first);
                let join = graph.add(join, Concat::channels(), &ids)?;
                graph.with_outputs([join])
            }
            REINITIALIZE => graph.reinitialize(range),
            _ => graph.input((3, 8 + self.first % 16, 8 + self.second % 16)),
        }
    }
}

/// Applies what is legal; what is not leaves the graph as it was.
fn after(mut graph: Graph, edits: &[Edit]) -> Graph {
    for edit in edits {
        if let Ok(edited) = edit.apply(graph.clone()) {
            graph = edited;
        }
    }
    graph
}

fn images(graph: &Graph) -> Tensor {
    let shape = graph.input_shape();
    let (height, width) = shape.size().unwrap();
    let count = 2 * shape.elements().unwrap();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    let dims = (2, shape.channels(), height, width);
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The largest difference, in units of the largest value.
fn distance(a: &Tensor, b: &Tensor) -> f32 {
    let largest = |tensor: Tensor| -> f32 {
        let values = tensor.abs().unwrap().flatten_all().unwrap();
        values.max(0).unwrap().to_scalar().unwrap()
    };
    largest((a - b).unwrap()) / largest(b.clone()).max(1e-6)
}

fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

/// Layer and parameter, and how many values.
type Counts = BTreeMap<(String, String), u64>;

fn assert_reports_agree(graph: &Graph) {
    let (summary, plan) = (graph.summary(), graph.plan());
    assert_eq!(summary.parameters, plan.parameters);
    assert_eq!(summary.trainable, plan.trainable);
    assert_eq!(summary.rows.len(), graph.len());
    assert!(graph.diff(graph).is_empty());
    let own: Counts = graph
        .nodes()
        .flat_map(|node| node.parameters().iter().map(move |p| (node, p)))
        .map(|(node, p)| ((node.name().to_string(), p.name().to_string()), p.count()))
        .collect();
    let provenance = graph.provenance().into_iter();
    let present = provenance.filter(|p| !matches!(p.fate, Fate::Dropped { .. }));
    let present: Vec<_> = present.collect();
    assert_eq!(present.len(), own.len());
    let told: Counts = present
        .into_iter()
        .map(|p| {
            let count = p.shape.iter().map(|&side| side as u64).product();
            ((p.layer, p.parameter), count)
        })
        .collect();
    assert_eq!(told, own);
    assert_eq!(own.values().sum::<u64>(), summary.parameters);
}

/// Nodes that both graphs have, with all they depend on.
fn untouched(before: &Graph, after: &Graph) -> Vec<NodeId> {
    let old: HashMap<NodeId, &Node> = before.nodes().map(|node| (node.id(), node)).collect();
    let mut same: Vec<NodeId> = Vec::new();
    for node in after.nodes() {
        let unchanged = old.get(&node.id()).is_some_and(|old| {
            old.layer() == node.layer()
                && old.inputs() == node.inputs()
                && node.inputs().iter().all(|input| same.contains(input))
        });
        if unchanged {
            same.push(node.id());
        }
    }
    same
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn every_edit_leaves_a_sound_graph_or_an_error_and_the_old_one(edits in edits()) {
        let mut graph = base();
        for edit in edits {
            let (clone, before) = (graph.clone(), lines(&graph));
            match edit.apply(clone) {
                Ok(edited) => {
                    assert_sound(&edited);
                    assert_reports_agree(&edited);
                    graph = edited;
                }
                Err(error) => {
                    prop_assert_eq!(lines(&graph), before, "{}", error);
                    assert_reports_agree(&graph);
                }
            }
        }
    }

    #[test]
    fn a_failed_add_leaves_the_graph_as_it_was(name in ".{0,8}", places in prop::collection::vec(0usize..16, 0..3)) {
        let mut graph = base();
        let before = graph.clone();
        let nodes: Vec<NodeId> = graph.nodes().map(Node::id).collect();
        let inputs: Vec<NodeId> = places.iter().filter_map(|&i| nodes.get(i).copied()).collect();
        if graph.add(name, Concat::channels(), &inputs).is_err() {
            prop_assert!(before.diff(&graph).is_empty());
            prop_assert_eq!(lines(&before), lines(&graph));
        } else {
            prop_assert_eq!(graph.len(), before.len() + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_parts_compute_what_the_whole_did(edits in edits(), cut in 0usize..64, pre: bool) {
        let graph = after(base(), &edits);
        let x = images(&graph);
        let node = graph.nodes().nth(cut % graph.len()).unwrap();
        let name = format!("{}{}", node.name(), if pre { ":pre" } else { "" });
        // The whole folds such a norm into the layer before the cut.
        let folds = graph.nodes().any(|norm| {
            matches!(norm.layer(), Layer::BatchNorm2d(_)) && norm.inputs() == [node.id()]
        });
        let model = built(&graph);
        let whole = model.forward(&x).unwrap();
        let split = model.graph().split_at(&name);
        prop_assume!(split.is_ok());
        let (front, back) = split.unwrap();
        assert_sound(&front);
        assert_sound(&back);
        let (one, two) = (front.clone(), back.clone());
        let joined = model.edit(|_| one.append(two)).unwrap();
        prop_assert_eq!(bits(&joined.forward(&x).unwrap()), bits(&whole));
        let front = model.edit(|_| Ok(front)).unwrap();
        let back = model.edit(|_| Ok(back)).unwrap();
        let parts = back.forward(&front.forward(&x).unwrap()).unwrap();
        if folds {
            prop_assert!(distance(&parts, &whole) < 1e-5);
        } else {
            prop_assert_eq!(bits(&parts), bits(&whole));
        }
    }

    #[test]
    fn untouched_layers_give_the_same_bits(edits in edits()) {
        let edits: Vec<Edit> = edits
            .into_iter()
            .filter(|edit| edit.verb != REINITIALIZE && edit.verb != INPUT)
            .collect();
        let model = built(&base());
        let edited = model.edit(|graph| Ok(after(graph, &edits))).unwrap();
        let x = images(model.graph());
        prop_assert_eq!(untouched(model.graph(), model.graph()).len(), model.graph().len());
        for id in untouched(model.graph(), edited.graph()) {
            let before = model.forward_to(id, &x).unwrap();
            prop_assert_eq!(bits(&edited.forward_to(id, &x).unwrap()), bits(&before));
        }
    }

    #[test]
    fn names_and_freezing_do_not_change_what_is_computed(edits in edits(), at in 0usize..64) {
        let model = built(&after(base(), &edits));
        let x = images(model.graph());
        let expected = bits(&model.forward(&x).unwrap());
        let edited = model.edit(|graph| {
            let id = graph.nodes().nth(at % graph.len()).unwrap().id();
            graph.rename(id, "another name")?.freeze(id)?.prefix("p/")?.freeze_through(id)
        });
        prop_assert_eq!(bits(&edited.unwrap().forward(&x).unwrap()), expected.clone());
        let frozen = model.edit(|graph| Ok(graph.freeze_all())).unwrap();
        prop_assert_eq!(bits(&frozen.forward(&x).unwrap()), expected);
    }
}

/// Numbers at and beyond every border.
fn any_number() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        1usize..40,
        (1usize << 24) - 2..(1 << 24) + 2,
        usize::MAX - 1..=usize::MAX,
        any::<usize>(),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        ".{0,4}(:pre){0,2}",
        "features\\.[0-9]{0,22}",
        "(block|conv|relu|pool|fc)[0-9_]{0,3}",
        (0usize..5000).prop_map(|length| "é".repeat(length)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_text_panics(first in any_text(), second in any_text()) {
        let (a, b) = (first.as_str(), second.as_str());
        let conv = || Conv2d::new(2, 1).named(a);
        let graph = base;
        let _ = graph().truncate(a);
        let _ = graph().slice(a..=b);
        let _ = graph().slice(a..);
        let _ = graph().freeze(..=a);
        let _ = graph().split_at(a);
        let _ = graph().with_outputs([a, b]);
        let _ = graph().replace(a, conv());
        let _ = graph().insert_before(a, conv());
        let _ = graph().insert_after(b, conv());
        let _ = graph().remove([a, b]);
        let _ = graph().rename(a, b);
        let _ = graph().reinitialize(a);
        let _ = graph().freeze_through(a);
        let _ = graph().layer::<Conv2d>(a);
        let _ = graph().node_id(a);
        let _ = graph().index_of(a);
        for edited in [graph().prefix(a), graph().attach(conv()), graph().rename("pool1", a)].into_iter().flatten() {
            assert_sound(&edited);
            prop_assert!(!edited.summary().to_string().is_empty());
            prop_assert!(!edited.to_dot().is_empty());
            prop_assert!(!edited.to_mermaid().is_empty());
        }
        let named = Graph::new(a, 3).unwrap();
        prop_assert_eq!(named.name(), a);
        prop_assert!(!named.to_dot().is_empty());
    }

    #[test]
    fn no_range_panics(a in any_number(), b in any_number()) {
        let legal = |start: usize, end: usize| start < end && end <= base().len();
        prop_assert_eq!(base().freeze(a..b).is_ok(), legal(a, b));
        prop_assert_eq!(base().freeze(..a).is_ok(), legal(0, a));
        prop_assert_eq!(base().freeze(a..).is_ok(), legal(a, base().len()));
        let inclusive = b.checked_add(1).is_some_and(|end| legal(a, end));
        prop_assert_eq!(base().freeze(a..=b).is_ok(), inclusive);
        let to = a.checked_add(1).is_some_and(|end| legal(0, end));
        prop_assert_eq!(base().freeze(..=a).is_ok(), to);
        let _ = base().slice(a..b);
        let _ = base().remove(a..b);
        let _ = base().replace(a..b, Conv2d::new(1, 1));
    }

    #[test]
    fn no_number_panics(n in prop::array::uniform12(any_number()), known: bool, same: bool) {
        let input = Shape::Map {
            channels: n[0],
            height: known.then_some(n[1]),
            width: known.then_some(n[2]),
        };
        let _ = base().input(input);
        let _ = base().input(n[0]);
        let conv = Conv2d::new(n[3], (n[4], n[5]))
            .stride((n[6], n[7]))
            .dilation((n[8], n[9]))
            .groups(n[10]);
        let conv = if same { conv.same() } else { conv.padding((n[11], n[1])) };
        let pool = AvgPool2d::new((n[4], n[5])).stride((n[6], n[7])).padding(n[11]);
        for graph in [Graph::new("g", input), Graph::new("g", (4, n[1] % 64, n[2] % 64))] {
            let Ok(graph) = graph else { continue };
            for layer in [
                Layer::from(conv.clone()),
                pool.clone().into(),
                vgg_surgery::layers::Upsample::times((n[4], n[5])).into(),
                vgg_surgery::layers::Upsample::fixed((n[4], n[5])).into(),
                vgg_surgery::layers::AdaptiveAvgPool2d::new((n[4], n[5])).into(),
                ZeroPad2d::new(n[4]).into(),
                vgg_surgery::Flatten::new().into(),
                vgg_surgery::Dense::new(n[4]).into(),
            ] {
                if let Ok(graph) = graph.clone().attach([layer.clone(), layer]) {
                    prop_assert!(!graph.summary().to_string().is_empty());
                    prop_assert!(!graph.plan().to_string().is_empty());
                    prop_assert!(graph.trainable_count() <= graph.parameter_count());
                }
            }
        }
    }
}
