//! Statistics of the outputs of a VGG's layers for an image.

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/network.rs"]
mod network;

use candle_core::{D, DType, Device, Tensor};
use clap::Parser;
use memory::MemoryArguments;
use network::NetworkArguments;
use serde_json::{Map, Value, json};
use vgg_surgery::layers::Layer;
use vgg_surgery::{Image, Result};

/// Runs an image through a VGG, and prints shape, mean, standard deviation
/// (divided by n), minimum and maximum of each layer's output.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A PNG, JPEG or WebP image
    #[arg(long)]
    image: std::path::PathBuf,
    /// Layers, separated by commas, with the names of Keras, torchvision, timm
    /// or Caffe [default: all convolutions and pools]
    #[arg(long, value_delimiter = ',')]
    layers: Vec<String>,
    /// Do not resize the image
    #[arg(long)]
    no_resize: bool,
    /// Print only JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    memory: MemoryArguments,
}

struct Row {
    name: String,
    shape: Vec<usize>,
    mean: f64,
    std: f64,
    min: f64,
    max: f64,
}

fn main() {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(rows) if arguments.json => println!("{}", as_json(&rows)),
        Ok(rows) => print_table(&rows),
        Err(error) => common::exit_with(&error),
    }
}

fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let image = Image::open(&arguments.image)?;
    let mut graph = arguments.network.graph()?;
    let layers: Vec<String> = if arguments.layers.is_empty() {
        graph = graph.without_top()?;
        let nodes = graph.nodes();
        nodes
            .filter(|node| !matches!(node.layer(), Layer::Input(_)))
            .map(|node| node.name().to_string())
            .collect()
    } else {
        let layers = arguments.layers.iter();
        layers.map(|layer| layer.trim().to_string()).collect()
    };
    let mut preprocessing = graph.input_preprocessing()?;
    if arguments.no_resize {
        preprocessing = preprocessing.without_resize();
    }
    let last = layers.iter().map(|layer| graph.index_of(layer));
    let last = last.collect::<Result<Vec<_>>>()?.into_iter().max();
    let deepest = graph.nodes().nth(last.unwrap_or(0)).map(|node| node.id());
    if let Some(deepest) = deepest {
        graph = graph.truncate(deepest)?;
    }
    let model = graph.build(&Device::Cpu)?;
    let (height, width) = preprocessing
        .size()
        .unwrap_or((image.height(), image.width()));
    model.check_memory(height, width, arguments.memory.bytes())?;
    let x = preprocessing.apply(&image)?;
    let taps = model.taps(&layers, &x)?;
    taps.iter().map(|(name, value)| row(name, value)).collect()
}

fn row(name: &str, value: &Tensor) -> Result<Row> {
    let flat = value.to_dtype(DType::F64)?.flatten_all()?;
    let mean = flat.mean_all()?.to_scalar::<f64>()?;
    let squares = (&flat - mean)?.sqr()?.mean_all()?.to_scalar::<f64>()?;
    Ok(Row {
        name: name.to_string(),
        shape: value.dims().to_vec(),
        mean,
        std: squares.sqrt(),
        min: flat.min(D::Minus1)?.to_scalar::<f64>()?,
        max: flat.max(D::Minus1)?.to_scalar::<f64>()?,
    })
}

fn as_json(rows: &[Row]) -> Value {
    let layers: Map<String, Value> = rows
        .iter()
        .map(|row| {
            let values = json!({
                "shape": row.shape,
                "mean": row.mean,
                "std": row.std,
                "min": row.min,
                "max": row.max,
            });
            (row.name.clone(), values)
        })
        .collect();
    json!({ "layers": layers })
}

fn print_table(rows: &[Row]) {
    println!(
        "{:<16} {:<20} {:>12} {:>12} {:>12} {:>12}",
        "layer", "shape", "mean", "std", "min", "max"
    );
    for row in rows {
        println!(
            "{:<16} {:<20} {:>12.5} {:>12.5} {:>12.5} {:>12.5}",
            row.name,
            format!("{:?}", row.shape),
            row.mean,
            row.std,
            row.min,
            row.max
        );
    }
}
