//! What a layer dreams of on a picture: target/dream/dream.png.

mod common;
#[path = "common/network.rs"]
mod network;
#[path = "common/output.rs"]
mod output;
#[path = "common/pictures.rs"]
mod pictures;

use candle_core::Device;
use clap::Parser;
use network::NetworkArguments;
use pictures::save;
use vgg_surgery::{Dream, Picture, Result};

/// Lets a VGG dream on a picture, into target/dream.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A PNG, JPEG or WebP picture
    #[arg(long)]
    image: std::path::PathBuf,
    /// The layer that dreams
    #[arg(long, default_value = "block4_conv3")]
    layer: String,
    /// Steps in each octave
    #[arg(long, default_value_t = 10)]
    steps: usize,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = arguments.network.graph()?;
    let model = graph.without_top()?.freeze_all().build(&Device::Cpu)?;
    let picture = Picture::open(&arguments.image)?;
    let dream = Dream::new().steps(arguments.steps);
    let dreamt = dream.run(&model, &arguments.layer, &picture)?;
    save(&dreamt, "dream", "dream")
}
