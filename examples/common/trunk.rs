//! Options for the trunk of an example.

use clap::Args;
use vgg_surgery::{Graph, Result, Vgg16};

use crate::common::{self, Preprocess, Source, Variant};

#[derive(Args)]
pub struct TrunkArguments {
    /// "hub", "hub:OWNER/NAME[@REVISION]", or a safetensors or .pth file [default:
    /// the network bundled with the crate]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<Source>,
    /// The preprocessing of these weights [default: torchvision for hub weights,
    /// caffe for others]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

impl TrunkArguments {
    /// VGG16 without its classifier.
    pub fn graph(&self) -> Result<Graph> {
        match &self.weights {
            None => Ok(Vgg16::nano()),
            Some(source) => common::network(Variant::Vgg16, source, self.preprocess)?.without_top(),
        }
    }
}
