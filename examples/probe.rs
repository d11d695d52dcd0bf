//! Which block of a VGG a task needs: target/probe/probe.svg.

mod common;

use candle_core::Device;
use clap::Parser;
use common::{Preprocess, Source, Variant, folder};
use vgg_surgery::{Error, ImageFolder, Probe, Result};

/// Probes the blocks of a VGG on a folder of pictures.
#[derive(Parser)]
struct Arguments {
    /// "hub", "random", or a safetensors or .pth file
    #[arg(long, default_value = "hub")]
    weights: Source,
    /// The network
    #[arg(long, value_enum, default_value = "vgg16")]
    variant: Variant,
    /// A folder that holds a folder of pictures for each class
    #[arg(long)]
    classes: std::path::PathBuf,
    /// Height and width that pictures are brought to
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// [default: torchvision for hub weights, caffe for others]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = common::network(arguments.variant, &arguments.weights, arguments.preprocess)?;
    let graph = graph.input((3, arguments.size, arguments.size))?;
    let model = graph.without_top()?.freeze_all().build(&Device::Cpu)?;
    let data = ImageFolder::open(&arguments.classes)?;
    let blocks = (1..=5).map(|block| format!("block{block}_pool"));
    let report = Probe::new().run(&model, &data, blocks)?;
    println!("{report}");
    let path = folder("probe")?.join("probe.svg");
    std::fs::write(&path, report.to_svg()).map_err(|source| Error::Io { path, source })
}
