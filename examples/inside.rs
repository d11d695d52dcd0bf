//! Filters, feature maps and maximized channels of a VGG, in target/inside.

mod common;
#[path = "common/images.rs"]
mod images;
#[path = "common/network.rs"]
mod network;
#[path = "common/output.rs"]
mod output;

use candle_core::Device;
use clap::Parser;
use images::save;
use network::NetworkArguments;
use vgg_surgery::explain::{ActivationSheet, Activations, Maximization, Sheet, filter_images};
use vgg_surgery::{Image, Result};

/// Draws a VGG's first filters, the feature maps of an image, and the images
/// that some channels respond to most. Writes to target/inside.
///
/// A channel of VGG16's later blocks takes seconds. Fewer channels or steps are
/// faster.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A PNG, JPEG or WebP image
    #[arg(long)]
    image: std::path::PathBuf,
    /// Layers, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "block1_conv2,block2_conv2,block3_conv2,block4_conv2,block5_conv2"
    )]
    layers: Vec<String>,
    /// Channels of each layer to maximize
    #[arg(long, default_value_t = 8)]
    channels: usize,
    /// Steps of the maximization
    #[arg(long, default_value_t = 96)]
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
    let image = Image::open(&arguments.image)?;
    let x = model.graph().input_preprocessing()?.apply(&image)?;
    let filters = filter_images(&model, "block1_conv1")?;
    save(
        &Sheet::new().cell(24).arrange(&filters)?,
        "inside",
        "filters",
    )?;
    for layer in &arguments.layers {
        let activations = Activations::of(&model, layer, &x)?;
        let options = ActivationSheet::new()
            .channels(16)
            .layout(Sheet::new().cell(112));
        save(
            &activations.sheet(0, &options)?,
            "inside",
            &format!("{layer}_activations"),
        )?;
        let statistics = activations.statistics();
        let dead = statistics.iter().filter(|channel| channel.is_dead());
        println!(
            "{layer}: {} of {} channels dead",
            dead.count(),
            statistics.len()
        );
        let channels = activations
            .most_active(0)?
            .into_iter()
            .take(arguments.channels);
        let sheet = Maximization::new().steps(arguments.steps).sheet(
            &model,
            layer,
            channels,
            &Sheet::new(),
        )?;
        save(&sheet, "inside", &format!("{layer}_maximized"))?;
    }
    Ok(())
}
