//! Explains a class of an image with all methods side by side:
//! target/explain/evidence.png.

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
use vgg_surgery::explain::{
    Attribution, ColorMap, Heatmap, Occlusion, ScoreCam, Sheet, SmoothGrad,
};
use vgg_surgery::{
    Adam, Dataset, Dense, Error, Explainer, Head, Image, ImageFolder, Model, Result, Trainer,
};

/// Trains a classifier on a VGG's frozen trunk with a folder of small images,
/// and shows which parts of another image speak for a class. Writes to
/// target/explain.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// A folder with a subfolder of images for each class
    #[arg(long)]
    classes: std::path::PathBuf,
    /// The image to explain
    #[arg(long)]
    image: std::path::PathBuf,
    /// The class to explain [default: the most likely]
    #[arg(long)]
    class: Option<String>,
    /// The layer to look at
    #[arg(long, default_value = "block5_conv3")]
    layer: String,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let model = trained(arguments)?;
    let preprocessing = model.graph().input_preprocessing()?.with_size(224, 224);
    let image = preprocessing.fit(&Image::open(&arguments.image)?)?;
    let x = preprocessing.apply(&image)?;
    let explainer = Explainer::new(&model)?;
    let labels = model.graph().labels();
    let class = match &arguments.class {
        Some(name) => class_named(&model, name)?,
        None => explainer.top_class(&x)?,
    };
    let layer = &arguments.layer;
    let over = |heat: Heatmap| heat.overlay(&image, ColorMap::Inferno, 0.6);
    let shown = |attribution: Attribution| -> Result<Image> {
        let heat = attribution.magnitude()?.normalized_below(0.01);
        heat.to_image(ColorMap::Inferno)
    };
    let baseline = x.zeros_like()?;
    let images = [
        image.clone(),
        over(explainer.grad_cam(layer, &x, class)?)?,
        over(explainer.grad_cam_plus_plus(layer, &x, class)?)?,
        over(explainer.score_cam(layer, &x, class, &ScoreCam::new().channels(48))?)?,
        over(explainer.eigen_cam(layer, &x)?)?,
        over(explainer.occlusion(&x, class, &Occlusion::new(48, 48))?)?,
        shown(explainer.saliency(&x, class)?)?,
        shown(explainer.smooth_grad(&x, class, &SmoothGrad::new().samples(16))?)?,
        shown(explainer.guided_backpropagation(&x, class)?)?,
        shown(explainer.integrated_gradients(&x, class, &baseline, 16)?)?,
    ];
    save(
        &Sheet::new().columns(5).arrange(&images)?,
        "explain",
        "evidence",
    )?;
    let name = labels.and_then(|labels| labels.get(class));
    println!(
        "class {class} ({})",
        name.map_or("no name", |label| label.name)
    );
    println!("the image, Grad-CAM, Grad-CAM++, Score-CAM, Eigen-CAM;");
    println!("occlusion, saliency, SmoothGrad, guided backpropagation, integrated gradients");
    Ok(())
}

fn class_named(model: &Model, name: &str) -> Result<usize> {
    let labels = model.graph().labels();
    let found = labels.and_then(|labels| labels.iter().position(|label| label.name == name));
    found.ok_or_else(|| Error::Unsupported {
        what: "explain this class",
        reason: format!("no folder is called \"{name}\""),
    })
}

/// The trunk with a classifier of the folder's classes, trained.
fn trained(arguments: &Arguments) -> Result<Model> {
    let data = ImageFolder::open(&arguments.classes)?;
    let classes = data.classes().map_or(0, |labels| labels.len());
    let head = Head::new()
        .global_avg_pool2d("head_pool")
        .dense("head_out", Dense::new(classes).softmax());
    let graph = arguments.network.graph()?;
    let preprocessing = graph.preprocessing().cloned().unwrap_or_default();
    let graph = graph
        .without_top()?
        .with_preprocessing(preprocessing.without_resize())
        .freeze_all()
        .attach(head)?;
    let mut model = graph.build(&Device::Cpu)?;
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Adam::new(1e-3))
        .epochs(40);
    let history = trainer.fit_without_validation(&data)?;
    if let Some(last) = history.last() {
        println!("loss after training: {:.3}", last.train.loss);
    }
    drop(trainer);
    match data.classes() {
        Some(labels) => model.edit(|graph| graph.with_labels(labels.clone())),
        None => Err(Error::Unsupported {
            what: "name classes",
            reason: "the folder has none".to_string(),
        }),
    }
}
