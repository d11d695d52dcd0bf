//! Replaces two 3x3 convolutions of a trained VGG16 by one of 5x5, which is
//! healed in several ways.

mod common;
#[path = "common/held_out.rs"]
mod held_out;
#[path = "common/vgg16.rs"]
mod vgg16;

use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use clap::Parser;
use common::Source;
use serde_json::{Map, Value, json};
use vgg_surgery::heal::HealReport;
use vgg_surgery::surgery::LayerCheck;
use vgg_surgery::{Conv2d, Healing, Image, Model, Result};

/// Replaces the two convolutions of block 1 by one of 5x5. Compares the new with
/// the old network after the last convolution of each block (R2), on a held-out
/// image.
#[derive(Parser)]
struct Arguments {
    /// "hub", "hub:OWNER/NAME[@REVISION]", or a safetensors or .pth file with Caffe's
    /// VGG16
    #[arg(long)]
    weights: Source,
    /// The folder of the training images
    #[arg(long)]
    images: PathBuf,
    /// The image to measure on; it is not used for training, even if it is in
    /// the folder
    #[arg(long)]
    held_out: PathBuf,
    /// Print only JSON
    #[arg(long)]
    json: bool,
    /// Limit gradient descent to this many seconds in total, instead of a number
    /// of steps; closed forms and measuring are not included
    #[arg(long, value_parser = seconds, allow_negative_numbers = true)]
    seconds: Option<f64>,
    /// The seed of the new filters and of the training crops
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

const BLOCKS: [&str; 5] = ["block1", "block2", "block3", "block4", "block5"];

/// Fractions of the time: for the common first part of both distillations, and
/// for the rest of each.
const SHARED: f64 = 0.25;
const OWN: f64 = (1.0 - SHARED) / 2.0;

fn seconds(argument: &str) -> std::result::Result<f64, String> {
    match argument.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(seconds),
        _ => Err("a number above 0 and at most 1e9 is needed".to_string()),
    }
}

struct Row {
    name: &'static str,
    r2: Vec<f64>,
    seconds: f64,
}

struct Clinic {
    model: Model,
    images: Vec<Image>,
    held_out: Image,
    rows: Vec<Row>,
    quiet: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Err(error) = run(&arguments) {
        common::exit_with(&error);
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let model = vgg16::trunk(&arguments.weights)?
        .seed(arguments.seed)
        .build(&Device::Cpu)?;
    let mut clinic = Clinic {
        model,
        images: held_out::images_without(&arguments.images, &arguments.held_out)?,
        held_out: Image::open(&arguments.held_out)?,
        rows: Vec::new(),
        quiet: arguments.json,
    };
    let mut new = clinic.operate()?;
    for (name, healing) in [
        ("compose", Healing::compose()),
        ("least_squares", Healing::least_squares()),
    ] {
        let report = clinic.heal(&mut new, name, healing)?;
        if clinic.rows.is_empty() {
            clinic.note("random", &report.before, 0.0);
        }
        clinic.note(name, &report.after, report.seconds);
    }
    let after_least_squares = clinic.rows.last().map_or(0.0, |row| row.seconds);
    let shared = Healing::distill().from_current().seed(arguments.seed);
    let within = |healing: Healing, fraction: f64| match arguments.seconds {
        Some(seconds) => healing.seconds(seconds * fraction),
        None => healing,
    };
    let output = within(shared.clone().only_output(), SHARED);
    let learned = clinic.heal(&mut new, "both distillations, on the output", output)?;
    let so_far = after_least_squares + learned.seconds;
    for (name, healing) in [
        ("distill", shared.clone()),
        ("distill_next", shared.adapting_next()),
    ] {
        let mut copy = new.clone();
        let report = clinic.heal(&mut copy, name, within(healing.only_features(), OWN))?;
        clinic.note(name, &report.after, so_far + report.seconds);
    }
    let (before, after) = (
        clinic.milliseconds(&clinic.model)?,
        clinic.milliseconds(&new)?,
    );
    if arguments.json {
        println!("{}", as_json(&clinic.rows, before, after));
    } else {
        println!();
        print_table(&clinic.rows);
        println!("one image takes {before:.1} ms before, {after:.1} ms after");
    }
    Ok(())
}

impl Clinic {
    fn operate(&self) -> Result<Model> {
        let conv = Conv2d::new(64, 5).same().relu().named("new_conv");
        self.model
            .edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))
    }

    fn heal(&self, new: &mut Model, what: &str, healing: Healing) -> Result<HealReport> {
        let healing = healing.measured_on([self.held_out.clone()]);
        let report = new.heal_with("new_conv", &self.model, &self.images, &healing)?;
        if !self.quiet {
            println!(
                "{what}: {} steps, {:.1} s with measuring",
                report.steps, report.seconds
            );
        }
        Ok(report)
    }

    fn note(&mut self, name: &'static str, blocks: &[LayerCheck], seconds: f64) {
        self.rows.push(Row {
            name,
            r2: blocks.iter().map(|block| block.r2).collect(),
            seconds,
        });
    }

    /// The median time that a network takes for one image.
    fn milliseconds(&self, model: &Model) -> Result<f64> {
        let x = model.graph().input_preprocessing()?.apply(&self.held_out)?;
        model.forward(&x)?;
        let mut times = Vec::new();
        for _ in 0..9 {
            let started = Instant::now();
            model.forward(&x)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

fn as_json(rows: &[Row], before: f64, after: f64) -> Value {
    let mut all: Map<String, Value> = rows
        .iter()
        .map(|row| {
            let blocks = BLOCKS.iter().zip(&row.r2);
            let mut values: Map<String, Value> = blocks
                .map(|(block, r2)| (block.to_string(), json!(r2)))
                .collect();
            values.insert("seconds".to_string(), json!(row.seconds));
            (row.name.to_string(), Value::Object(values))
        })
        .collect();
    all.insert("ms_before".to_string(), json!(before));
    all.insert("ms_after".to_string(), json!(after));
    Value::Object(all)
}

fn print_table(rows: &[Row]) {
    print!("{:<14}", "R2, held out");
    BLOCKS.iter().for_each(|block| print!(" {block:>8}"));
    println!(" {:>8}", "seconds");
    for row in rows {
        print!("{:<14}", row.name);
        row.r2.iter().for_each(|r2| print!(" {r2:>8.3}"));
        println!(" {:>8.1}", row.seconds);
    }
}
