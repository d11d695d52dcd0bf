//! DeepDream on an image: target/dream/dream.png.

mod common;
#[path = "common/images.rs"]
mod images;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/network.rs"]
mod network;
#[path = "common/output.rs"]
mod output;

use candle_core::Device;
use clap::Parser;
use images::save;
use memory::MemoryArguments;
use network::NetworkArguments;
use vgg_surgery::explain::Dream;
use vgg_surgery::{Image, Result};

/// Strengthens the response of a layer of a VGG to an image. Writes to
/// target/dream.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A PNG, JPEG or WebP image
    #[arg(long)]
    image: std::path::PathBuf,
    /// The layer whose response is strengthened
    #[arg(long, default_value = "block4_conv3")]
    layer: String,
    /// Steps in each octave
    #[arg(long, default_value_t = 10)]
    steps: usize,
    #[command(flatten)]
    memory: MemoryArguments,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = arguments.network.graph()?;
    let model = graph.without_top()?.freeze_all().build(&Device::Cpu)?;
    let image = Image::open(&arguments.image)?;
    let dream = Dream::new()
        .steps(arguments.steps)
        .memory_limit(arguments.memory.bytes());
    let dreamt = dream.run(&model, &arguments.layer, &image)?;
    save(&dreamt, "dream", "dream")
}
