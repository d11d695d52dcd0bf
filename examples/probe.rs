//! Which block of a VGG a task needs: a table, and target/probe/probe.svg.

mod common;

use candle_core::Device;
use clap::Parser;
use common::{Preprocess, Source, folder};
use vgg_surgery::{Error, Probe, Result};

/// Probes the blocks of a VGG16 on a folder of pictures.
///
/// Without arguments it takes the network that comes along with the crate,
/// and computed pictures of classes that it was not trained on.
#[derive(Parser)]
struct Arguments {
    /// "hub", or a safetensors or .pth file [default: the network that comes
    /// along with the crate]
    #[arg(long, value_name = "FILE")]
    weights: Option<Source>,
    /// A folder with a sub-folder of pictures for each class [default:
    /// computed pictures]
    #[arg(long, value_name = "DIR")]
    classes: Option<std::path::PathBuf>,
    /// Height and width that pictures are brought to
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Of such weights [default: torchvision for hub weights, caffe for others]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = common::trunk(arguments.weights.as_ref(), arguments.preprocess)?;
    let graph = graph.input((3, arguments.size, arguments.size))?;
    let model = graph.build(&Device::Cpu)?;
    let data = common::classes(arguments.classes.as_deref())?;
    let blocks = (1..=5).map(|block| format!("block{block}_pool"));
    let report = Probe::new().run(&model, &data, blocks)?;
    println!("{report}");
    let path = folder("probe")?.join("probe.svg");
    std::fs::write(&path, report.to_svg()).map_err(|source| Error::Io { path, source })
}
