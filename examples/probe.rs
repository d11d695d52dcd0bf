//! Finds the block of a VGG that suits a task: a table and target/probe/probe.svg.

#[path = "common/classes.rs"]
mod classes;
mod common;
#[path = "common/output.rs"]
mod output;
#[path = "common/trunk.rs"]
mod trunk;

use candle_core::Device;
use clap::Parser;
use classes::ClassesArguments;
use output::folder;
use trunk::TrunkArguments;
use vgg_surgery::explain::Probe;
use vgg_surgery::{Error, Result};

/// Probes the blocks of a VGG16 on a folder of images.
///
/// By default it uses the network bundled with the crate, and computed images of
/// classes that this network was not trained on.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    trunk: TrunkArguments,
    #[command(flatten)]
    classes: ClassesArguments,
    /// Height and width of the images, in pixels
    #[arg(long, default_value_t = 64)]
    size: usize,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = arguments.trunk.graph()?;
    let graph = graph.input((3, arguments.size, arguments.size))?;
    let model = graph.build(&Device::Cpu)?;
    let data = arguments.classes.dataset()?;
    let report = Probe::new().run(&model, &data)?;
    println!("{report}");
    let path = folder("probe")?.join("probe.svg");
    std::fs::write(&path, report.to_svg()).map_err(|reason| Error::Io { path, reason })
}
