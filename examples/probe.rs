//! Which block of a VGG a task needs: a table, and target/probe/probe.svg.

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
use vgg_surgery::{Error, Probe, Result};

/// Probes the blocks of a VGG16 on a folder of images.
///
/// Without arguments it takes the network that comes along with the crate,
/// and computed images of classes that it was not trained on.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    trunk: TrunkArguments,
    #[command(flatten)]
    classes: ClassesArguments,
    /// Height and width that images are brought to
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
    let blocks = (1..=5).map(|block| format!("block{block}_pool"));
    let report = Probe::new().run(&model, &data, blocks)?;
    println!("{report}");
    let path = folder("probe")?.join("probe.svg");
    std::fs::write(&path, report.to_svg()).map_err(|reason| Error::Io { path, reason })
}
