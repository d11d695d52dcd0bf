//! All about a model on one page: target/report/report.html.

mod common;

use candle_core::Device;
use clap::Parser;
use common::{Preprocess, Source, Variant, folder};
use vgg_surgery::{ImageFolder, Picture, Probe, Report, Result};

/// Writes a report of a VGG's trunk as one HTML file.
#[derive(Parser)]
struct Arguments {
    /// "hub", "random", or a safetensors or .pth file
    #[arg(long, default_value = "hub")]
    weights: Source,
    /// The network
    #[arg(long, value_enum, default_value = "vgg16")]
    variant: Variant,
    /// A PNG, JPEG or WebP picture
    #[arg(long)]
    image: std::path::PathBuf,
    /// A folder that holds a folder of pictures for each class, to probe with
    #[arg(long)]
    classes: Option<std::path::PathBuf>,
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
    let model = graph.without_top()?.freeze_all().build(&Device::Cpu)?;
    let picture = Picture::open(&arguments.image)?;
    let mut report = Report::new(&model)
        .picture("the picture", &picture)?
        .filters("block1_conv1")?;
    for block in 1..=5 {
        report = report.activations(format!("block{block}_conv2"), &picture)?;
    }
    if let Some(classes) = &arguments.classes {
        let small = model.edit(|graph| graph.input((3, 64, 64)))?;
        let blocks = (1..=5).map(|block| format!("block{block}_pool"));
        report = report.probe(&Probe::new().run(&small, &ImageFolder::open(classes)?, blocks)?);
    }
    let path = folder("report")?.join("report.html");
    report.save(&path)?;
    println!("{}", path.display());
    Ok(())
}
