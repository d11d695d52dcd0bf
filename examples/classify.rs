//! Classifies an image with a VGG.

mod common;
#[path = "common/network.rs"]
mod network;

use candle_core::Device;
use clap::Parser;
use network::NetworkArguments;
use serde_json::json;
use vgg_surgery::model::Ranked;
use vgg_surgery::{Image, Result};

/// Classifies an image with a VGG, and prints the most likely classes.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A PNG, JPEG or WebP image
    #[arg(long)]
    image: std::path::PathBuf,
    /// How many classes to print
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Print only JSON
    #[arg(long)]
    json: bool,
}

fn main() {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(classes) if arguments.json => println!("{}", as_json(&classes)),
        Ok(classes) => {
            for class in classes {
                println!(
                    "{:>6.2} %  {:>4}  {}  {}",
                    class.score * 100.0,
                    class.index,
                    class.synset.unwrap_or_default(),
                    class.name.unwrap_or_default()
                );
            }
        }
        Err(error) => common::exit_with(&error),
    }
}

fn run(arguments: &Arguments) -> Result<Vec<Ranked>> {
    let image = Image::open(&arguments.image)?;
    let graph = arguments.network.graph()?;
    let graph = match graph.labels() {
        Some(_) => graph,
        None => graph.with_labels(vgg_surgery::Labels::imagenet())?,
    };
    graph.build(&Device::Cpu)?.classify(&image, arguments.top)
}

fn as_json(classes: &[Ranked]) -> serde_json::Value {
    let classes: Vec<_> = classes
        .iter()
        .map(|class| {
            json!({
                "index": class.index,
                "synset": class.synset,
                "name": class.name,
                "score": class.score,
            })
        })
        .collect();
    json!({ "classes": classes })
}
