//! Style transfer: target/style/stylized.png.

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
use vgg_surgery::explain::{StyleOptimizer, Stylize};
use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Image, Result};

/// Paints an image in the style of another. Writes to target/style.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// The image to paint
    #[arg(long)]
    content: std::path::PathBuf,
    /// The image with the style
    #[arg(long)]
    style: std::path::PathBuf,
    /// The shorter side of both images, in pixels
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// Steps of the optimizer
    #[arg(long, default_value_t = 100)]
    steps: usize,
    /// The weight of the style; the weight of the content is 1
    #[arg(long, default_value_t = 100.0)]
    style_weight: f64,
    /// Use Adam with this learning rate instead of L-BFGS
    #[arg(long)]
    adam: Option<f64>,
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
    let open = |path| -> Result<Image> {
        let image = Image::open(path)?;
        let short = image.width().min(image.height());
        let side = |side: usize| side.saturating_mul(arguments.size) / short;
        let (width, height) = (side(image.width()), side(image.height()));
        model.check_memory(height, width, arguments.memory.bytes())?;
        image.resize(width, height, ResizeFilter::Bicubic)
    };
    let (content, style) = (open(&arguments.content)?, open(&arguments.style)?);
    let mut stylize = Stylize::new()
        .steps(arguments.steps)
        .memory_limit(arguments.memory.bytes())
        .style_weight(arguments.style_weight);
    if let Some(learning_rate) = arguments.adam {
        stylize = stylize.optimizer(StyleOptimizer::Adam { learning_rate });
    }
    let start = std::time::Instant::now();
    let stylized = stylize.run(&model, &content, &style)?;
    if let (Some(first), Some(last)) = (stylized.losses.first(), stylized.losses.last()) {
        let seconds = start.elapsed().as_secs_f64();
        println!("loss {first:.5} to {last:.5} in {seconds:.2} s");
    }
    save(&stylized.image, "style", "stylized")
}
