//! Options that the examples share.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::ValueEnum;
use vgg_surgery::{
    Error, Graph, Preprocessing, Result, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19,
    Vgg19Bn, VggOptions, WeightSet,
};

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Variant {
    Vgg11,
    Vgg11Bn,
    Vgg13,
    Vgg13Bn,
    Vgg16,
    Vgg16Bn,
    Vgg19,
    Vgg19Bn,
}

impl Variant {
    fn options(self) -> VggOptions {
        match self {
            Self::Vgg11 => Vgg11::options(),
            Self::Vgg11Bn => Vgg11Bn::options(),
            Self::Vgg13 => Vgg13::options(),
            Self::Vgg13Bn => Vgg13Bn::options(),
            Self::Vgg16 => Vgg16::options(),
            Self::Vgg16Bn => Vgg16Bn::options(),
            Self::Vgg19 => Vgg19::options(),
            Self::Vgg19Bn => Vgg19Bn::options(),
        }
    }
}

/// The source of the weights: `hub`, `hub:OWNER/NAME[@REVISION]`, `random`, or
/// the path of a file.
#[derive(Clone, Debug)]
pub enum Source {
    Hub,
    /// A repository, and a branch, a tag or a commit.
    Repository(String, Option<String>),
    Random,
    File(PathBuf),
}

impl From<&str> for Source {
    fn from(argument: &str) -> Self {
        match argument {
            "hub" => return Self::Hub,
            "random" => return Self::Random,
            _ => {}
        }
        let Some(name) = argument.strip_prefix("hub:") else {
            return Self::File(Path::new(argument).to_path_buf());
        };
        match name.split_once('@') {
            Some((name, revision)) => Self::Repository(name.into(), Some(revision.into())),
            None => Self::Repository(name.into(), None),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Preprocess {
    /// RGB from 0 to 1, normalized; short side 256, center 224
    Torchvision,
    /// BGR from 0 to 255 minus the mean; resized to 224x224, nearest
    Caffe,
}

impl Preprocess {
    fn preprocessing(self) -> Preprocessing {
        match self {
            Self::Torchvision => Preprocessing::torchvision(),
            Self::Caffe => Preprocessing::caffe(),
        }
    }
}

/// The whole network. By default the preprocessing is torchvision's for hub
/// weights, and for files whose tensors have torchvision's names and which do not
/// state otherwise; Caffe's, which is Keras' too, for others.
pub fn network(variant: Variant, source: &Source, preprocess: Option<Preprocess>) -> Result<Graph> {
    let options = variant.options();
    let (graph, usual) = match source {
        Source::Hub => (options.pretrained()?, Preprocess::Torchvision),
        Source::Random => (options.untrained(0)?, Preprocess::Caffe),
        Source::Repository(name, revision) => {
            let mut weights = WeightSet::hub(name).labels(vgg_surgery::Labels::imagenet());
            if let Some(revision) = revision {
                weights = weights.revision(revision);
            }
            (options.pretrained_from(weights)?, Preprocess::Torchvision)
        }
        Source::File(path) => {
            let weights = WeightSet::file(path).labels(vgg_surgery::Labels::imagenet());
            let usual = match preprocess {
                Some(preprocess) => preprocess,
                None => usual_for(&options, path)?,
            };
            (options.pretrained_from(weights)?, usual)
        }
    };
    Ok(graph.with_preprocessing(preprocess.unwrap_or(usual).preprocessing()))
}

/// A longer header is not read for its metadata.
const MOST_HEADER_BYTES: u64 = 1 << 24;

/// The preprocessing for a file: what it states, or else by the name that the
/// first convolution has there, `features.0.weight` or `0.weight` in
/// torchvision's networks.
fn usual_for(options: &VggOptions, path: &Path) -> Result<Preprocess> {
    if states_caffe(path).unwrap_or(false) {
        return Ok(Preprocess::Caffe);
    }
    let graph = options.clone().without_top().pretrained_from(path)?;
    let model = graph.truncate("block1_conv1")?.build(&Device::Cpu)?;
    let report = model.graph().weights_report();
    let mut names = report.rows.iter().filter_map(|row| row.tensor.as_deref());
    let is_of_torchvision = names.all(|name| {
        let layer = name.rsplit('.').nth(1);
        name.contains("features.") || layer.is_some_and(|layer| layer.parse::<usize>().is_ok())
    });
    Ok(match is_of_torchvision {
        true => Preprocess::Torchvision,
        false => Preprocess::Caffe,
    })
}

/// Whether the metadata of a safetensors file give Caffe's mean for `input`.
fn states_caffe(path: &Path) -> Option<bool> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut json = Vec::new();
    let length = u64::from_le_bytes(length).min(MOST_HEADER_BYTES);
    file.take(length).read_to_end(&mut json).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&json).ok()?;
    let input = header.get("__metadata__")?.get("input")?.as_str()?;
    Some(input.contains("103.939"))
}

/// Prints an error and exits with status 1.
pub fn exit_with(error: &Error) -> ! {
    eprintln!("error: {error}");
    std::process::exit(1);
}
