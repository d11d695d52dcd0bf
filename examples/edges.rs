//! An edge detector by surgery. A 1x1 convolution turns each of five layers of
//! the trunk into one map, and the maps are enlarged and fused. Images are in
//! target/edges.

mod common;
#[path = "common/hed.rs"]
mod hed;
#[path = "common/images.rs"]
mod images;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/output.rs"]
mod output;
#[path = "common/trunk.rs"]
mod trunk;

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use clap::Parser;
use images::save;
use memory::MemoryArguments;
use trunk::TrunkArguments;
use vgg_surgery::explain::{ColorMap, Heatmap, Sheet};
use vgg_surgery::{Activation, Adam, Error, Image, Model, Result, TensorDataset, Trainer};

/// Finds the edges in an image.
///
/// By default it uses the network bundled with the crate, and trains the side
/// outputs on computed images, without downloads.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    trunk: TrunkArguments,
    /// A safetensors file of the side outputs: dsn1 to dsn5 and fuse, each
    /// with weight and bias [default: they are trained]
    #[arg(long, value_name = "FILE")]
    sides: Option<PathBuf>,
    /// A PNG, JPEG or WebP image [default: a computed one]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Epochs of training for the side outputs
    #[arg(long, default_value_t = 40)]
    epochs: u64,
    #[command(flatten)]
    memory: MemoryArguments,
}

/// The number of computed training images, and their height and width.
const LESSONS: u64 = 48;
const SIDE: usize = 64;

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let trunk = arguments.trunk.graph()?;
    let image = match &arguments.image {
        Some(path) => Image::open(path)?,
        None => hed::shapes(192, LESSONS)?.0,
    };
    let mut model = hed::detector(trunk)?.build(&Device::Cpu)?;
    model.check_memory(image.height(), image.width(), arguments.memory.bytes())?;
    match &arguments.sides {
        Some(file) => load(&model, file)?,
        None => train(&mut model, arguments.epochs)?,
    }
    let model = model.edit(|graph| graph.attach(Activation::Sigmoid.named("edges")))?;
    let preprocessing = model.graph().input_preprocessing()?.without_resize();
    let maps = model.forward(&preprocessing.apply(&image)?)?;
    let mut images = vec![image];
    for channel in 0..maps.dim(1)? {
        images.push(white_on_black(&maps.narrow(1, channel, 1)?)?);
    }
    save(&images[images.len() - 1], "edges", "edges")?;
    let sheet = Sheet::new().columns(4).arrange(&images)?;
    save(&sheet, "edges", "sides_and_fusion")
}

/// Trains the side outputs on computed images.
fn train(model: &mut Model, epochs: u64) -> Result<()> {
    let preprocessing = model.graph().input_preprocessing()?.without_resize();
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for seed in 0..LESSONS {
        let (image, edges) = hed::shapes(SIDE, seed)?;
        inputs.push(preprocessing.apply(&image)?);
        targets.push(edges);
    }
    let lessons = TensorDataset::values(Tensor::cat(&inputs, 0)?, Tensor::cat(&targets, 0)?)?;
    let mut trainer = Trainer::new(model)
        .optimizer(Adam::new(0.01))
        .loss(hed::balanced_loss())
        .metrics([])
        .batch_size(8)
        .epochs(epochs);
    let history = trainer.fit_without_validation(&lessons)?;
    if let Some(last) = history.last() {
        println!("loss after training: {:.3}", last.train.loss);
    }
    Ok(())
}

/// Reads the side outputs from a file.
fn load(model: &Model, file: &Path) -> Result<()> {
    let bytes = std::fs::read(file).map_err(|reason| Error::Io {
        path: file.to_path_buf(),
        reason,
    })?;
    let stored = candle_core::safetensors::load_buffer(&bytes, model.device())?;
    let names = model
        .parameters()
        .filter(|parameter| parameter.is_trainable);
    let names = names.map(|parameter| format!("{}.{}", parameter.layer, parameter.name));
    for (name, variable) in names.zip(model.trainable_variables()) {
        let missing = || Error::other(format!("no tensor \"{name}\" in {}", file.display()));
        let tensor = stored.get(&name).ok_or_else(missing)?;
        variable.set(tensor)?;
    }
    Ok(())
}

fn white_on_black(map: &Tensor) -> Result<Image> {
    let (_, _, height, width) = map.dims4()?;
    let values = map.flatten_all()?.to_vec1::<f32>()?;
    Heatmap::new(height, width, values)?.to_image(ColorMap::Gray)
}
