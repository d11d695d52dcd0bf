use vgg_surgery::{
    Activation, AvgPool2d, Contract, Conv2d, Dense, Dropout, Graph, Head, Operation,
};

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
    let reinitialising = contract(|graph| graph.replace("block1_conv1"..="block1_conv2", conv));
    assert_eq!(reinitialising, Contract::Reinitialising);
    assert_eq!(
        contract(|graph| Ok(graph.seed(9))),
        Contract::Reinitialising
    );
    let trained = two_trained_blocks().reinitialize("block1_conv1").unwrap();
    assert_eq!(last(&trained).contract, Contract::Reinitialising);
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
