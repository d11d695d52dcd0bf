//! Transfer learning: a new head on the frozen lower layers of a trained network,
//! compared with the same head on untrained layers.

#[path = "common/bar.rs"]
mod bar;
mod common;
#[path = "common/init.rs"]
mod init;
#[path = "common/trunk.rs"]
mod trunk;

use std::fs;
use std::path::{Path, PathBuf};

use bar::Bar;
use candle_core::Device;
use clap::Parser;
use init::with_new_convolutions;
use serde_json::{Value, json};
use trunk::TrunkArguments;
use vgg_surgery::data::{Motif, ProceduralDataset};
use vgg_surgery::layers::Init;
use vgg_surgery::{
    Conv2d, Dataset, Dense, Error, Graph, Head, History, ImageFolder, Model, Result, RmsProp,
    Trainer,
};

/// Attaches a new head (a convolution and two dense layers) to the lower layers
/// of a VGG16, trains it, and prints its accuracy on test images. Then does the
/// same with untrained layers.
///
/// By default it uses the network bundled with the crate, and computed images of
/// classes that this network was not trained on, without downloads.
#[derive(Parser)]
struct Arguments {
    /// A folder with a subfolder for each class, or with two such folders,
    /// "train" and "test" [default: computed images]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    trunk: TrunkArguments,
    /// The last layer to keep
    #[arg(long, value_name = "LAYER", default_value = "block4_pool")]
    truncate: String,
    /// Training images of each class [default: all, or 20 computed ones]
    #[arg(long, value_name = "N")]
    per_class: Option<usize>,
    /// Height and width in pixels
    #[arg(long, default_value_t = 64)]
    size: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value_t = 40)]
    epochs: u64,
    /// [default: 1e-4, or 3e-4 for the bundled network]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Skip the untrained layers
    #[arg(long)]
    no_baseline: bool,
    /// The folder for the model and the training curve
    #[arg(long, value_name = "DIR", default_value = "target/transfer")]
    out: PathBuf,
    /// Print only JSON, and save nothing
    #[arg(long)]
    json: bool,
}

/// Computed images of each class: for training by default, and for testing.
const COMPUTED: (usize, usize) = (20, 40);

fn main() {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) if arguments.json => println!("{report}"),
        Ok(_) => {}
        Err(error) => common::exit_with(&error),
    }
}

fn run(arguments: &Arguments) -> Result<Value> {
    let Some(folder) = &arguments.data else {
        let computed = |per_class, seed| -> Result<ProceduralDataset> {
            let data = ProceduralDataset::new(Motif::HELD_OUT, per_class)?;
            Ok(data.size(arguments.size).seed(seed))
        };
        let per_class = arguments.per_class.unwrap_or(COMPUTED.0);
        let train = computed(per_class, 2 * arguments.seed)?;
        let test = computed(COMPUTED.1, 2 * arguments.seed + 1)?;
        return compare(arguments, &train, &test);
    };
    let (train, test) = (folder.join("train"), folder.join("test"));
    if !(train.is_dir() && test.is_dir()) {
        let images = ImageFolder::open(folder)?;
        let (train, test) = images.split(0.8, arguments.seed)?;
        return with_some(arguments, &train, &test);
    }
    let train = ImageFolder::open(train)?;
    let test = match train.classes() {
        Some(classes) => ImageFolder::options().with_classes(classes.clone()),
        None => ImageFolder::options(),
    };
    with_some(arguments, &train, &test.open(folder.join("test"))?)
}

/// Compares with the chosen number of training images of each class.
fn with_some<D: Dataset>(arguments: &Arguments, train: &D, test: &dyn Dataset) -> Result<Value> {
    match arguments.per_class {
        Some(count) => compare(arguments, &train.per_class(count, arguments.seed)?, test),
        None => compare(arguments, train, test),
    }
}

fn compare(arguments: &Arguments, train: &dyn Dataset, test: &dyn Dataset) -> Result<Value> {
    let classes = train.classes().map_or(0, |labels| labels.len());
    let trunk = lower_layers(arguments)?;
    let graph = with_head(trunk.clone(), classes)?;
    if !arguments.json {
        println!("{}\n", graph.summary());
        println!(
            "{} training images and {} test images of {classes} classes",
            train.len(),
            test.len()
        );
    }
    let (model, history) = learn(arguments, "trained trunk", &graph, (train, test))?;
    let untrained = if arguments.no_baseline {
        None
    } else {
        let graph = with_head(untrained(trunk)?, classes)?;
        let (_, history) = learn(arguments, "untrained trunk", &graph, (train, test))?;
        accuracy(&history)
    };
    let seconds: Vec<f64> = history.epochs.iter().map(|epoch| epoch.seconds).collect();
    let report = json!({
        "test_accuracy": accuracy(&history),
        "untrained_accuracy": untrained,
        "train_accuracy": history.last().and_then(|epoch| epoch.get("accuracy")),
        "epoch_seconds": seconds,
        "truncate": arguments.truncate,
        "seed": arguments.seed,
        "classes": classes,
        "train_images": train.len(),
        "test_images": test.len(),
    });
    if !arguments.json {
        print_accuracy(&history, untrained);
        save(&arguments.out, &model, &history)?;
    }
    Ok(report)
}

/// The lower layers, frozen.
fn lower_layers(arguments: &Arguments) -> Result<Graph> {
    let whole = arguments.trunk.graph()?;
    let sized = whole.input((3, arguments.size, arguments.size))?;
    let trunk = sized.truncate(arguments.truncate.as_str())?;
    Ok(trunk.seed(arguments.seed).freeze_all())
}

/// The same layers with new values as in torchvision's VGG, scaled by the number
/// of outputs (He et al. 2015, equation 14).
fn untrained(trunk: Graph) -> Result<Graph> {
    let init = |conv: &Conv2d| {
        let (height, width) = conv.kernel_size;
        let fan_out = conv.out_channels * height * width;
        Init::Normal((2.0 / fan_out as f32).sqrt())
    };
    Ok(with_new_convolutions(trunk, init)?.freeze_all())
}

fn with_head(trunk: Graph, classes: usize) -> Result<Graph> {
    let init = Init::PytorchUniform;
    trunk.attach(
        Head::new()
            .conv2d("head_conv", Conv2d::new(64, 3).relu().kernel_init(init))
            .max_pool2d("head_pool", 2)
            .flatten("head_flatten")
            .dense("head_fc", Dense::new(256).relu().kernel_init(init))
            .dropout("head_dropout", 0.5)
            .dense("head_out", Dense::new(classes).softmax().kernel_init(init)),
    )
}

fn learn(
    arguments: &Arguments,
    what: &'static str,
    graph: &Graph,
    (train, test): (&dyn Dataset, &dyn Dataset),
) -> Result<(Model, History)> {
    let usual = if arguments.trunk.weights.is_some() {
        1e-4
    } else {
        3e-4
    };
    let learning_rate = arguments.learning_rate.unwrap_or(usual);
    let mut model = graph.build(&Device::Cpu)?;
    let mut trainer = Trainer::new(&mut model)
        .optimizer(RmsProp::pytorch(learning_rate))
        .batch_size(32)
        .epochs(arguments.epochs)
        .seed(arguments.seed);
    if !arguments.json {
        trainer = trainer.callback(Bar::new(what));
    }
    let history = trainer.fit(train, test)?;
    drop(trainer);
    Ok((model, history))
}

/// The accuracy on the test images after the last epoch.
fn accuracy(history: &History) -> Option<f64> {
    history.last()?.get("val_accuracy")
}

fn print_accuracy(history: &History, untrained: Option<f64>) {
    println!("\n{history}\n");
    let percent = |accuracy: Option<f64>| {
        accuracy.map_or("-".to_string(), |value| format!("{:.1} %", 100.0 * value))
    };
    println!("accuracy on the test images");
    println!(
        "  on the trained layers    {:>7}",
        percent(accuracy(history))
    );
    if untrained.is_some() {
        println!("  on untrained layers      {:>7}", percent(untrained));
    }
}

fn save(folder: &Path, model: &Model, history: &History) -> Result<()> {
    let failed = |reason| Error::Io {
        path: folder.to_path_buf(),
        reason,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    history.save_plot(folder.join("history.svg"))?;
    history.save_csv(folder.join("history.csv"))?;
    model.save(folder.join("model.safetensors"))?;
    println!(
        "\nthe training curve and the model are in {}",
        folder.display()
    );
    Ok(())
}
