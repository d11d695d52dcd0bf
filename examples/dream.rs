//! What a layer dreams of on a picture: target/dream/dream.png.

mod common;

use candle_core::Device;
use clap::Parser;
use common::{Preprocess, Source, Variant, folder, save};
use vgg_surgery::{Dream, Picture, Result};

/// Lets a VGG dream on a picture.
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
    /// The layer that dreams
    #[arg(long, default_value = "block4_conv3")]
    layer: String,
    /// Steps in each octave
    #[arg(long, default_value_t = 10)]
    steps: usize,
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
    let dream = Dream::new().steps(arguments.steps);
    let dreamt = dream.run(&model, &arguments.layer, &picture)?;
    save(&dreamt, &folder("dream")?, "dream")
}
