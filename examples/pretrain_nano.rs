//! Trains the bundled network of `Vgg16::nano()`.

#[path = "common/bar.rs"]
mod bar;
#[path = "common/init.rs"]
mod init;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bar::Bar;
use candle_core::{DType, Device, Tensor};
use clap::Parser;
use init::with_new_convolutions;
use vgg_surgery::data::{Motif, ProceduralDataset, SampleInput};
use vgg_surgery::layers::Init;
use vgg_surgery::optim::Clip;
use vgg_surgery::train::Schedule;
use vgg_surgery::{AdamW, Dataset, Dense, Graph, Head, Image, Loss, Model, Result, Trainer, Vgg16};

/// Trains VGG16 at one eighth of its widths on computed images of textures
/// and shapes, and saves its convolutions as a safetensors file in half
/// precision.
#[derive(Parser)]
struct Arguments {
    /// The file to write
    #[arg(long, default_value = "nano.safetensors")]
    out: PathBuf,
    /// Images of each class in an epoch
    #[arg(long, default_value_t = 1000)]
    per_class: usize,
    #[arg(long, default_value_t = 6)]
    epochs: u64,
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    #[arg(long, default_value_t = 2e-3)]
    learning_rate: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a sheet of images to this PNG file instead, a row for each class
    #[arg(long)]
    sheet: Option<PathBuf>,
}

/// Height and width of the images.
const SIZE: usize = 64;

fn main() {
    let arguments = Arguments::parse();
    let done = match &arguments.sheet {
        Some(path) => draw_sheet(path, arguments.seed),
        None => run(&arguments),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let motifs = Motif::trained_on();
    let images = |per_class, seed| -> Result<ProceduralDataset> {
        let data = ProceduralDataset::new(motifs.clone(), per_class)?;
        Ok(data.size(SIZE).seed(seed))
    };
    let train = images(arguments.per_class, arguments.seed)?;
    let validation = images(20, arguments.seed.wrapping_add(1))?;
    let graph = network(arguments.seed, motifs.len())?;
    println!("{}", graph.summary());
    let mut model = graph.build(&Device::Cpu)?;
    let history = Trainer::new(&mut model)
        .optimizer(AdamW::new(arguments.learning_rate).weight_decay(0.01))
        .loss(Loss::cross_entropy().label_smoothing(0.05))
        .schedule(Schedule::one_cycle())
        .clip(Clip::Norm(1.0))
        .batch_size(arguments.batch_size)
        .epochs(arguments.epochs)
        .seed(arguments.seed)
        .callback(Bar::new("nano"))
        .fit(&train, &validation)?;
    println!("{history}");
    let tensors = trunk(&model)?;
    candle_core::safetensors::save(&tensors, &arguments.out)?;
    println!("{} tensors in {}", tensors.len(), arguments.out.display());
    Ok(())
}

fn network(seed: u64, classes: usize) -> Result<Graph> {
    let graph = Vgg16::options()
        .widths(8)
        .without_top()
        .input((3, SIZE, SIZE))
        .untrained(seed)?;
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(classes).softmax());
    // Without batch norms, the signal would vanish in thirteen layers with
    // Keras' default initialization.
    let graph = with_new_convolutions(graph, |_| Init::HeNormal)?.attach(head)?;
    Ok(graph.with_preprocessing(Vgg16::nano().input_preprocessing()?))
}

/// The convolutions with keys `layer.parameter`, in half precision.
fn trunk(model: &Model) -> Result<HashMap<String, Tensor>> {
    let parameters = model
        .parameters()
        .filter(|parameter| parameter.layer != "out");
    let named = parameters.map(|parameter| {
        let key = format!("{}.{}", parameter.layer, parameter.name);
        Ok((key, parameter.tensor.detach().to_dtype(DType::F16)?))
    });
    named.collect()
}

/// A row of images for each motif.
fn draw_sheet(path: &Path, seed: u64) -> Result<()> {
    const COLUMNS: usize = 12;
    let motifs = Motif::ALL;
    let data = ProceduralDataset::new(motifs, COLUMNS)?
        .size(SIZE)
        .seed(seed);
    let (width, height) = (COLUMNS * SIZE, motifs.len() * SIZE);
    let mut bytes = vec![0; 3 * width * height];
    for index in 0..data.len() {
        let SampleInput::Image(image) = data.sample(index)?.input else {
            continue;
        };
        let (column, row) = (index / motifs.len(), index % motifs.len());
        let rows = bytes.chunks_exact_mut(3 * width).skip(row * SIZE);
        for (to, from) in rows.zip(image.as_rgb8().chunks_exact(3 * SIZE)) {
            to[3 * column * SIZE..][..3 * SIZE].copy_from_slice(from);
        }
    }
    Image::from_rgb8(width, height, bytes)?.save(path)
}
