use candle_core::Tensor;
use vgg_surgery::graph::{Contract, Operation, Shape};
use vgg_surgery::layers::{Custom, CustomLayer};
use vgg_surgery::{Activation, AvgPool2d, Conv2d, Dense, Dropout, Graph, Head, MaxPool2d};

use crate::{two_blocks, two_trained_blocks, whole};

fn last(graph: &Graph) -> &Operation {
    graph.operations().last().unwrap()
}

fn contract(edit: impl FnOnce(Graph) -> vgg_surgery::Result<Graph>) -> Contract {
    last(&edit(two_blocks()).unwrap()).contract
}

#[test]
fn edits_that_leave_every_layer_alone_are_exact() {
    let exact: Vec<fn(Graph) -> vgg_surgery::Result<Graph>> = vec![
        |graph| graph.truncate("block1_pool"),
        |graph| graph.truncate("block1_conv2:pre"),
        |graph| graph.with_outputs(["block2_pool", "block1_pool"]),
        |graph| graph.slice("block1_conv2"..="block2_conv1"),
        |graph| Ok(graph.split_at("block1_pool")?.1),
        |graph| graph.rename("block1_conv1", "first"),
        |graph| graph.prefix("a_"),
        |graph| graph.freeze(..3),
        |graph| graph.freeze_through("block1_pool"),
        |graph| graph.input((3, 64, 64)),
        |graph| graph.attach(Activation::Softmax.named("softmax")),
        |graph| graph.insert_after("block1_pool", Dropout::new(0.5).named("dropout")),
        |graph| graph.replace("relu1_1", Activation::Relu),
        |graph| Ok(graph.freeze_all()),
    ];
    for (index, edit) in exact.into_iter().enumerate() {
        assert_eq!(contract(edit), Contract::Exact, "edit {index}");
    }
}

#[test]
fn edits_that_change_what_is_left_say_so() {
    let approximate: Vec<fn(Graph) -> vgg_surgery::Result<Graph>> = vec![
        |graph| graph.replace("relu1_1", Activation::Gelu),
        |graph| graph.replace("block1_pool", AvgPool2d::new(2)),
        |graph| graph.replace("block2_pool", AvgPool2d::new(2)),
        |graph| graph.remove("block1_conv2"),
        |graph| graph.insert_after("block1_pool", Activation::Tanh.named("tanh")),
    ];
    for (index, edit) in approximate.into_iter().enumerate() {
        assert_eq!(contract(edit), Contract::Approximate, "edit {index}");
    }
    let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    let reinitializing = contract(|graph| graph.replace("block1_conv1"..="block1_conv2", conv));
    assert_eq!(reinitializing, Contract::Reinitializing);
    assert_eq!(
        contract(|graph| Ok(graph.seed(9))),
        Contract::Reinitializing
    );
    let trained = two_trained_blocks().reinitialize("block1_conv1").unwrap();
    assert_eq!(last(&trained).contract, Contract::Reinitializing);
}

/// Another layer's value is not a layer's own.
#[test]
fn layers_alike_are_not_taken_for_each_other() {
    let pools = || {
        let layers = [MaxPool2d::new(2).named("a"), MaxPool2d::new(2).named("b")];
        let graph = Graph::new("pools", (3, 32, 32)).unwrap();
        graph.attach(Vec::from(layers)).unwrap()
    };
    let told = |graph: vgg_surgery::Result<Graph>| last(&graph.unwrap()).contract;
    assert_eq!(told(pools().remove("a")), Contract::Approximate);
    let dropout = || Dropout::new(0.5).named("c");
    assert_eq!(told(pools().replace("b", dropout())), Contract::Approximate);
    assert_eq!(told(pools().truncate("a")), Contract::Exact);
    assert_eq!(
        told(pools().replace("b", MaxPool2d::new(2).named("c"))),
        Contract::Exact
    );
}

#[derive(Debug)]
struct Times(&'static Factor);

struct Factor(f64);

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a factor")
    }
}

impl CustomLayer for Times {
    fn kind(&self) -> &str {
        "Times"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        &inputs[0] * self.0.0
    }
}

#[test]
fn custom_layers_that_print_alike_are_not_the_same() {
    let times = |factor| Custom::new(Times(factor)).named("times");
    let graph = two_blocks().attach(times(&Factor(2.0))).unwrap();
    let replaced = graph.replace("times", times(&Factor(3.0))).unwrap();
    assert_eq!(last(&replaced).contract, Contract::Approximate);
}

/// The last layer's too, which nothing reads.
#[test]
fn an_activation_is_not_taken_out_exactly() {
    let relu_last = || two_blocks().truncate("block2_conv2").unwrap();
    let removed = relu_last().remove("relu2_2").unwrap();
    assert_eq!(last(&removed).contract, Contract::Approximate);
    let cut = relu_last().truncate("block2_conv2:pre").unwrap();
    assert_eq!(last(&cut).contract, Contract::Exact);
}

#[test]
fn what_became_of_the_weights_is_counted() {
    // Parameters: 3*4*9+4 = 112, 4*4*9+4 = 148, 4*8*9+8 = 296, 8*8*9+8 = 584.
    let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    let graph = two_trained_blocks();
    let graph = graph
        .replace("block1_conv1"..="block1_conv2", conv)
        .unwrap();
    let replaced = last(&graph);
    assert_eq!(
        replaced.what,
        "replace(\"block1_conv1\"..=\"block1_conv2\")"
    );
    assert_eq!(
        (
            replaced.kept,
            replaced.derived,
            replaced.new,
            replaced.dropped
        ),
        (880, 0, 3 * 4 * 25 + 4, 260)
    );
    assert_eq!(
        replaced.layers,
        ["block1_conv1", "block1_conv2", "new_conv"]
    );
    let graph = graph.reinitialize("block2_conv1").unwrap();
    assert_eq!((last(&graph).new, last(&graph).dropped), (296, 296));
    let head = Head::new().flatten("flatten").dense("out", Dense::new(2));
    let graph = graph.attach(head).unwrap();
    assert_eq!(
        (last(&graph).new, last(&graph).dropped),
        (8 * 8 * 8 * 2 + 2, 0)
    );
    assert_eq!(graph.operations().len(), 4);
}

/// What went stands before what came in its place, wherever that is.
#[test]
fn layers_are_told_in_the_graphs_order() {
    let graph = two_blocks().remove("block2_conv1").unwrap();
    let graph = graph.attach(Activation::Tanh.named("end")).unwrap();
    let changed = graph.prefix("a_").unwrap();
    let names = changed.nodes().skip(1).map(|node| node.name());
    assert_eq!(last(&changed).layers, names.collect::<Vec<_>>());
    let both = |node: &vgg_surgery::graph::Node| node.name().starts_with("block1_conv");
    let graph = two_blocks().remove(both).unwrap();
    assert_eq!(
        last(&graph).layers,
        ["block1_conv1", "block1_conv2", "block2_conv1"]
    );
}

#[test]
fn appended_networks_bring_their_operations() {
    let (front, back) = whole().split_at("block3_pool").unwrap();
    let joined = front.append(back).unwrap();
    let what: Vec<&str> = joined
        .operations()
        .iter()
        .map(|o| o.what.as_str())
        .collect();
    assert_eq!(
        what,
        [
            "split_at(\"block3_pool\")",
            "split_at(\"block3_pool\")",
            "append(\"vgg16\")"
        ]
    );
}

#[test]
fn operations_print_as_a_table() {
    let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    let graph = two_trained_blocks().freeze("block1_conv1").unwrap();
    let graph = graph
        .replace("block1_conv1"..="block1_conv2", conv)
        .unwrap();
    insta::assert_snapshot!(graph.operations().to_string());
}
