//! A tour of the edits, on VGG16's graph. No weights are read or downloaded.

use clap::Parser;
use serde_json::json;
use vgg_surgery::graph::Node;
use vgg_surgery::layers::{Concat, Layer, Upsample};
use vgg_surgery::{Activation, BatchNorm2d, Conv2d, Dense, Graph, Head, Result, Vgg16};

/// Shows the edits on VGG16, with summaries and plans. Reads and downloads
/// nothing.
#[derive(Parser)]
struct Arguments {
    /// Print only JSON
    #[arg(long)]
    json: bool,
    /// Also print a Mermaid diagram of each step
    #[arg(long)]
    diagrams: bool,
    /// Print only a Graphviz diagram of this step, counted from 1
    #[arg(long, conflicts_with = "json")]
    dot: Option<usize>,
}

struct Step {
    title: &'static str,
    code: &'static str,
    graph: Graph,
}

fn main() {
    let arguments = Arguments::parse();
    match steps() {
        Ok(steps) if arguments.dot.is_some() => {
            let chosen = arguments
                .dot
                .and_then(|step| steps.get(step.checked_sub(1)?));
            match chosen {
                Some(step) => println!("{}", step.graph.to_dot()),
                None => {
                    eprintln!("error: there are steps 1 to {}", steps.len());
                    std::process::exit(1);
                }
            }
        }
        Ok(steps) if arguments.json => println!("{}", as_json(&steps)),
        Ok(steps) => {
            for step in &steps {
                show(step, arguments.diagrams);
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(1);
        }
    }
}

fn steps() -> Result<Vec<Step>> {
    let whole = Vgg16::pretrained();
    let mut steps = Vec::new();
    let mut step = |title, code, graph| steps.push(Step { title, code, graph });

    step(
        "VGG16, ready for ImageNet weights",
        "Vgg16::pretrained()",
        whole.clone(),
    );
    step(
        "The main job: lower layers under a new head",
        ".input((3, 160, 160))?.truncate(\"block2_pool\")?.freeze_all().attach(head)?",
        lower_layers_under_a_new_head(&whole)?,
    );
    let new_conv = Conv2d::new(64, 5).same().relu().named("new_conv");
    step(
        "Replace block1's two convolutions by one 5x5",
        ".replace(\"block1_conv1\"..=\"block1_conv2\", new_conv)?",
        whole
            .clone()
            .replace("block1_conv1"..="block1_conv2", new_conv)?,
    );
    step(
        "Remove a pool, and insert a batch norm between a convolution and its ReLU",
        ".remove(\"block5_pool\")?.insert_after(\"block5_conv3:pre\", new_bn)?",
        whole
            .clone()
            .without_top()?
            .remove("block5_pool")?
            .insert_after("block5_conv3:pre", BatchNorm2d::new().named("new_bn"))?,
    );
    step(
        "Freeze the first seven layers, as Keras counts, and train the rest",
        ".without_top()?.freeze(..7)?",
        whole.clone().without_top()?.freeze(..7)?,
    );
    step(
        "Slice blocks 2 and 3, rename and prefix",
        ".slice(\"block2_conv1\"..=\"block3_pool\")?.rename(\"block3_pool\", \"out\")?.prefix(\"middle/\")?",
        whole
            .clone()
            .slice("block2_conv1"..="block3_pool")?
            .rename("block3_pool", "out")?
            .prefix("middle/")?,
    );
    let (front, back) = whole.split_at("block3_pool")?;
    step(
        "Split after block3_pool and append again",
        ".split_at(\"block3_pool\")?, then front.append(back)?",
        front.append(back)?,
    );
    step(
        "Branches: block5 enlarged, joined with block3",
        ".add(\"up\", Upsample::to(a), &[b])?, .add(\"join\", Concat::channels(), [a, up])?, .with_outputs([join])?",
        joined_blocks(&whole)?,
    );
    step(
        "Every ReLU becomes a GELU",
        ".replace(\"relu1_1\", Activation::Gelu)?, and so on",
        every_relu_becomes_gelu(whole.without_top()?)?,
    );
    Ok(steps)
}

fn lower_layers_under_a_new_head(whole: &Graph) -> Result<Graph> {
    whole
        .clone()
        .input((3, 160, 160))?
        .truncate("block2_pool")?
        .freeze_all()
        .attach(
            Head::new()
                .conv2d("head_conv", Conv2d::new(64, 3).relu())
                .max_pool2d("head_pool", 2)
                .flatten("head_flatten")
                .dense("head_fc", Dense::new(256).relu())
                .dropout("head_dropout", 0.5)
                .dense("head_out", Dense::new(10).softmax()),
        )
}

fn joined_blocks(whole: &Graph) -> Result<Graph> {
    let mut graph = whole.clone().without_top()?;
    let a = graph.node_id("block3_pool")?;
    let b = graph.node_id("block5_pool")?;
    let b = graph.add("up", Upsample::to(a), [b])?;
    let joined = graph.add("join", Concat::channels(), [a, b])?;
    graph.with_outputs([joined])
}

fn every_relu_becomes_gelu(mut graph: Graph) -> Result<Graph> {
    let with_relu = |node: &Node| matches!(node.layer(), Layer::Conv2d(_));
    let names: Vec<String> = graph
        .nodes()
        .filter(|node| with_relu(node))
        .map(|node| node.name().replace("block", "relu").replace("_conv", "_"))
        .collect();
    for name in names {
        graph = graph.replace(&name, Activation::Gelu)?;
    }
    Ok(graph)
}

fn show(step: &Step, diagrams: bool) {
    println!("== {}\n   {}\n", step.title, step.code);
    println!("{}", step.graph.summary());
    println!("{}", step.graph.plan());
    if diagrams {
        println!("{}", step.graph.to_mermaid());
    }
}

fn as_json(steps: &[Step]) -> serde_json::Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|Step { title, code, graph }| {
            let plan = graph.plan();
            json!({
                "title": title,
                "code": code,
                "layers": graph.nodes().map(Node::name).collect::<Vec<_>>(),
                "parameters": plan.parameters,
                "trainable": plan.trainable,
                "bytes_to_fetch": plan.bytes_to_fetch,
                "macs": plan.macs,
            })
        })
        .collect();
    json!({ "steps": steps })
}
