//! scratch
use candle_core::Device;
use clap::Parser;
use std::path::PathBuf;
use vgg_surgery::accelerate::Acceleration;
use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Image, Preprocessing, Result, Vgg16, WeightSet};

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    weights: PathBuf,
    #[arg(long)]
    images: PathBuf,
    #[arg(long)]
    held_out: PathBuf,
    #[arg(long, value_delimiter = ',')]
    speedup: Vec<f64>,
    #[arg(long, default_value_t = 8)]
    batch: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let preprocessing = Preprocessing::caffe().with_filter(ResizeFilter::Bilinear);
    let weights = WeightSet::file(&arguments.weights).preprocessing(preprocessing);
    let model = Vgg16::pretrained_from(weights)
        .without_top()?
        .build(&Device::Cpu)?;
    let mut images = Vec::new();
    for entry in std::fs::read_dir(&arguments.images).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() != arguments.held_out.file_name() {
            images.push(Image::open(&path)?);
        }
    }
    let held = Image::open(&arguments.held_out)?;
    for speedup in arguments.speedup {
        let acceleration = Acceleration::speedup(speedup)
            .batch(arguments.batch)
            .measured_on(vec![held.clone()]);
        let (_, report) = model.accelerate(&acceleration, &images)?;
        println!("{report}");
    }
    Ok(())
}
