//! A report of a model on one page: target/report/report.html.

#[path = "common/classes.rs"]
mod classes;
mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/output.rs"]
mod output;
#[path = "common/trunk.rs"]
mod trunk;

use std::path::PathBuf;

use candle_core::Device;
use clap::Parser;
use classes::ClassesArguments;
use memory::MemoryArguments;
use output::folder;
use trunk::TrunkArguments;
use vgg_surgery::data::{Motif, ProceduralDataset, SampleInput};
use vgg_surgery::explain::{Probe, Report};
use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Adam, Dataset, Dense, Graph, Head, History, Image, Model, Result, Trainer};

/// Probes the blocks of a VGG16, trains a classifier on one of them, and writes
/// a report of that network as one HTML file, target/report/report.html.
///
/// By default it uses the network bundled with the crate, and computed images of
/// classes that this network was not trained on.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    trunk: TrunkArguments,
    #[command(flatten)]
    classes: ClassesArguments,
    /// The image for the feature maps [default: a computed one]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The layer that the classifier is attached to
    #[arg(long, default_value = "block4_pool")]
    truncate: String,
    #[command(flatten)]
    memory: MemoryArguments,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = arguments.classes.dataset()?;
    let trunk = arguments.trunk.graph()?;
    let preprocessing = trunk.input_preprocessing()?.without_resize();
    let trunk = trunk.with_preprocessing(preprocessing).freeze_all();
    let image = shown(arguments)?;
    let model = trunk.build(&Device::Cpu)?;
    model.check_memory(image.height(), image.width(), arguments.memory.bytes())?;
    let probe = Probe::new().run(&model, &data)?;
    let (model, history) = trained(trunk, &data, &arguments.truncate)?;
    let mut report = Report::new(&model)
        .probe(&probe)
        .image("the image looked at", &image)?
        .filters("block1_conv1")?;
    for layer in (1..=5).map(|block| format!("block{block}_conv2")) {
        if model.graph().node(&layer).is_ok() {
            report = report.activations(layer, &image)?;
        }
    }
    let path = folder("report")?.join("report.html");
    report.training(&history.to_svg()).save(&path)?;
    println!("{}", path.display());
    Ok(())
}

/// A classifier on the lower layers, trained on most of the data.
fn trained(trunk: Graph, data: &impl Dataset, last: &str) -> Result<(Model, History)> {
    let classes = data.classes().map_or(0, |labels| labels.len());
    let head = Head::new()
        .global_avg_pool2d("head_pool")
        .dense("head_out", Dense::new(classes).softmax());
    let mut model = trunk.truncate(last)?.attach(head)?.build(&Device::Cpu)?;
    let (train, validation) = data.split(0.8, 0)?;
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Adam::new(1e-2))
        .epochs(20);
    let history = trainer.fit(&train, &validation)?;
    drop(trainer);
    Ok((model, history))
}

/// The chosen image, about 200 pixels wide at most, or a computed one.
fn shown(arguments: &Arguments) -> Result<Image> {
    let Some(path) = &arguments.image else {
        let computed = ProceduralDataset::new([Motif::Bricks], 1)?.size(128);
        return match computed.sample(0)?.input {
            SampleInput::Image(image) => Ok(image),
            SampleInput::Tensor(_) => unreachable!("computed examples are images"),
        };
    };
    let image = Image::open(path)?;
    let factor = (image.width() / 200).max(1);
    let (width, height) = (image.width() / factor, image.height() / factor);
    image.resize(width, height.max(1), ResizeFilter::Bicubic)
}
