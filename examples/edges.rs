//! An edge detector by surgery, Xie and Tu's HED (2015): five taps of the
//! trunk, each through a 1x1 convolution to one map, enlarged, fused, and a
//! sigmoid; target/edges/edges.png.

mod common;

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use clap::Parser;
use common::{Preprocess, Source, Variant, folder, save};
use vgg_surgery::{
    Activation, ColourMap, Concat, Conv2d, Error, Graph, Heatmap, Model, Picture, Result, Sheet,
    Upsample,
};

/// Finds the edges in a picture.
#[derive(Parser)]
struct Arguments {
    /// "hub", or a safetensors or .pth file: the trunk
    #[arg(long, default_value = "hub")]
    weights: Source,
    /// A safetensors file of the side outputs: dsn1 to dsn5 and fuse, each
    /// with weight and bias
    #[arg(long)]
    sides: PathBuf,
    /// A PNG, JPEG or WebP picture
    #[arg(long)]
    image: PathBuf,
    /// [default: torchvision for hub weights, caffe for others]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

const TAPS: [&str; 5] = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let graph = common::network(Variant::Vgg16, &arguments.weights, arguments.preprocess)?;
    let model = detector(graph)?.build(&Device::Cpu)?;
    load_sides(&model, &arguments.sides)?;
    let picture = Picture::open(&arguments.image)?;
    let preprocessing = model.graph().input_preprocessing()?.without_resize();
    let x = preprocessing.apply(&picture)?;
    let mut pictures = vec![picture];
    for map in model.forward_all(&x)? {
        pictures.push(white_on_black(&map)?);
    }
    let layout = Sheet::new().columns(4);
    let folder = folder("edges")?;
    save(&pictures[pictures.len() - 1], &folder, "edges")?;
    save(
        &layout.columns(4).arrange(&pictures)?,
        &folder,
        "sides_and_fusion",
    )
}

/// Side outputs 1 to 5, then their fusion, as probabilities.
fn detector(graph: Graph) -> Result<Graph> {
    let mut graph = graph.without_top()?.freeze_all();
    let size = graph.node("input")?;
    let (mut sides, mut outputs) = (Vec::new(), Vec::new());
    for (index, tap) in TAPS.iter().enumerate() {
        let tap = graph.get(*tap)?.id();
        let name = format!("dsn{}", index + 1);
        let side = graph.add(&name, Conv2d::new(1, 1), &[tap])?;
        let up = Upsample::like().bilinear().sized_by(size);
        let side = graph.add(format!("{name}_up"), up, &[side])?;
        outputs.push(graph.add(format!("{name}_edges"), Activation::Sigmoid, &[side])?);
        sides.push(side);
    }
    let joined = graph.add("join", Concat::channels(), &sides)?;
    let fused = graph.add("fuse", Conv2d::new(1, 1), &[joined])?;
    outputs.push(graph.add("edges", Activation::Sigmoid, &[fused])?);
    graph.with_outputs(outputs)
}

fn load_sides(model: &Model, file: &Path) -> Result<()> {
    let stored = candle_core::safetensors::load(file, model.device())?;
    let names = model
        .parameters()
        .filter(|parameter| parameter.is_trainable);
    let names = names.map(|parameter| format!("{}.{}", parameter.layer, parameter.name));
    for (name, variable) in names.zip(model.trainable_variables()) {
        let tensor = stored.get(&name).ok_or_else(|| Error::MissingTensor {
            key: name.clone(),
            tried: Vec::new(),
            file: file.display().to_string(),
            nearest: Vec::new(),
        })?;
        variable.set(tensor)?;
    }
    Ok(())
}

fn white_on_black(map: &Tensor) -> Result<Picture> {
    let (_, _, height, width) = map.dims4()?;
    let values = map.flatten_all()?.to_vec1::<f32>()?;
    Heatmap::new(height, width, values)?.to_picture(ColourMap::Grey)
}
