//! Makes a whole VGG16 several times as fast from a few unlabeled images. The chart
//! is in target/accelerate/frontier.svg.

mod common;
#[path = "common/held_out.rs"]
mod held_out;
#[path = "common/output.rs"]
mod output;
#[path = "common/vgg16.rs"]
mod vgg16;

use std::path::PathBuf;

use candle_core::Device;
use clap::Parser;
use common::Source;
use serde_json::{Map, Value, json};
use vgg_surgery::accelerate::{Acceleration, AccelerationReport, Frontier};
use vgg_surgery::data::{Motif, ProceduralDataset, SampleInput};
use vgg_surgery::train::Schedule;
use vgg_surgery::{AdamW, Dataset, Dense, Error, Head, Image, Model, Result, Trainer, Vgg16};

/// Accelerates a VGG16 without its classifier, and compares it with the old network
/// on a held-out image (R2 after the last convolution of each block).
///
/// Without arguments it trains a classifier on the network bundled with the crate,
/// halves the multiplications of both, trains the result on labels, and prints the
/// accuracy before and after, without downloads.
#[derive(Parser)]
struct Arguments {
    /// "hub", "hub:OWNER/NAME[@REVISION]", or a safetensors or .pth file with Caffe's
    /// VGG16
    #[arg(long, requires = "images", requires = "held_out")]
    weights: Option<Source>,
    /// The folder of the images to learn from
    #[arg(long)]
    images: Option<PathBuf>,
    /// The image to measure on; it is not learned from, even if it is in the folder
    #[arg(long)]
    held_out: Option<PathBuf>,
    /// Speed-ups, measured at the batch
    #[arg(long, value_delimiter = ',', default_value = "2,3,4")]
    speedup: Vec<f64>,
    /// Images in the batch to be fast for
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// About how many seconds the calibration may take
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
    /// Steps of gradient descent after the closed form
    #[arg(long, default_value_t = 0)]
    steps: usize,
    /// The seed of the crops
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The folder for the networks, x2.safetensors and so on [default: they are not
    /// saved]
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Print only JSON
    #[arg(long)]
    json: bool,
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match (&arguments.weights, &arguments.images, &arguments.held_out) {
        (Some(weights), Some(images), Some(held_out)) => {
            let model = vgg16::trunk(weights)?.build(&Device::Cpu)?;
            let images = held_out::images_without(images, held_out)?;
            trunk_faster(arguments, &model, (&images, Image::open(held_out)?))
        }
        _ => bundled_faster(arguments),
    }
}

fn settings(budget: Acceleration, arguments: &Arguments) -> Acceleration {
    budget
        .batch(arguments.batch)
        .seconds(arguments.seconds)
        .steps(arguments.steps)
        .seed(arguments.seed)
}

fn trunk_faster(
    arguments: &Arguments,
    model: &Model,
    (images, held_out): (&[Image], Image),
) -> Result<()> {
    let settings = settings(Acceleration::speedup(1.0), arguments).measured_on([held_out]);
    let frontier = model.frontier(&arguments.speedup, &settings, images)?;
    let path = output::folder("accelerate")?.join("frontier.svg");
    std::fs::write(&path, frontier.to_svg()).map_err(|reason| Error::Io {
        path: path.clone(),
        reason,
    })?;
    if let Some(folder) = &arguments.save {
        output::create(folder)?;
        for point in &frontier.points {
            let name = format!("x{}.safetensors", point.factor);
            point.model.save(folder.join(name))?;
        }
    }
    if arguments.json {
        println!("{}", as_json(&frontier));
        return Ok(());
    }
    for point in &frontier.points {
        println!("{}", point.report);
    }
    println!("{frontier}\n{}", path.display());
    Ok(())
}

fn as_json(frontier: &Frontier) -> Value {
    let points = frontier.points.iter();
    let rows = points.map(|point| (point.factor.to_string(), row(&point.report)));
    Value::Object(rows.collect())
}

fn row(report: &AccelerationReport) -> Value {
    let speedup = |batch| {
        let found = report.speed.iter().find(|speed| speed.batch == batch);
        found.map(|speed| speed.speedup)
    };
    let blocks = report.blocks.iter();
    let r2: Map<String, Value> = blocks
        .map(|row| {
            let block = row.layer.split('_').next().unwrap_or_default();
            (block.to_string(), json!(row.r2))
        })
        .collect();
    json!({
        "speedup_b1": speedup(1),
        "speedup_b8": speedup(8),
        "macs": report.macs,
        "r2": r2,
        "top1": report.top1,
        "bytes": report.bytes,
        "seconds": report.seconds,
    })
}

/// Height and width of the computed images.
const SIZE: usize = 64;

/// How a network is trained on computed images.
struct Training {
    per_class: usize,
    rate: f64,
    epochs: u64,
}

/// Of the classifier, and of the whole accelerated network.
const HEAD: Training = Training {
    per_class: 100,
    rate: 1e-2,
    epochs: 8,
};
const TUNING: Training = Training {
    per_class: 1000,
    rate: 1e-3,
    epochs: 1,
};

impl Training {
    fn run(&self, model: &mut Model) -> Result<()> {
        let mut trainer = Trainer::new(model)
            .optimizer(AdamW::new(self.rate))
            .schedule(Schedule::one_cycle())
            .epochs(self.epochs);
        let data = computed(self.per_class, 1)?;
        trainer.fit_without_validation(&data).map(drop)
    }
}

/// Other images for each seed.
fn computed(per_class: usize, seed: u64) -> Result<ProceduralDataset> {
    let data = ProceduralDataset::new(Motif::trained_on(), per_class)?;
    Ok(data.size(SIZE).seed(seed))
}

/// Images that the bundled network is calibrated on, and that it is measured on.
const CALIBRATION: usize = 480;

fn bundled_faster(arguments: &Arguments) -> Result<()> {
    let test = computed(80, 2)?;
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(Motif::trained_on().len()).softmax());
    let graph = Vgg16::nano()
        .input((3, SIZE, SIZE))?
        .freeze_all()
        .attach(head)?;
    let mut model = graph.build(&Device::Cpu)?;
    HEAD.run(&mut model)?;
    let before = accuracy(&mut model, &test)?;
    // Its layers have so few channels that their number says little about time.
    let settings = settings(Acceleration::macs(1.0), arguments)
        .measured_on(unlabeled(&test)?)
        .fine_tune(|model| {
            model.unfreeze(..)?;
            TUNING.run(model)
        });
    let images = unlabeled(&computed(HEAD.per_class, 1)?)?;
    let frontier = model.frontier(&[2.0], &settings, &images)?;
    for mut point in frontier.points {
        let after = accuracy(&mut point.model, &test)?;
        if arguments.json {
            let mut row = row(&point.report);
            row["accuracy_before"] = json!(before);
            row["accuracy"] = json!(after);
            println!("{}", json!({ (point.factor.to_string()): row }));
            continue;
        }
        println!("{}", point.report);
        println!(
            "accuracy {:.1} % before, {:.1} % after acceleration and training",
            100.0 * before,
            100.0 * after
        );
    }
    Ok(())
}

fn accuracy(model: &mut Model, test: &ProceduralDataset) -> Result<f64> {
    let evaluation = Trainer::new(model).evaluate(test)?;
    Ok(evaluation.accuracy().unwrap_or(f64::NAN))
}

/// Images from all over the data set.
fn unlabeled(data: &ProceduralDataset) -> Result<Vec<Image>> {
    let step = (data.len() / CALIBRATION).max(1);
    let samples = (0..data.len())
        .step_by(step)
        .map(|index| data.sample(index));
    let images = samples.map(|sample| match sample?.input {
        SampleInput::Image(image) => Ok(image),
        _ => Err(Error::other("the data set has images")),
    });
    images.collect()
}
