//! Options for the network of an example.

use clap::Args;
use vgg_surgery::{Graph, Result};

use crate::common::{self, Preprocess, Source, Variant};

#[derive(Args)]
pub struct NetworkArguments {
    /// "hub", "hub:OWNER/NAME[@REVISION]", "random", or a safetensors or .pth file
    #[arg(long, default_value = "hub")]
    weights: Source,
    /// The network
    #[arg(long, value_enum, default_value = "vgg16")]
    variant: Variant,
    /// [default: torchvision for hub weights, caffe for others]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

impl NetworkArguments {
    /// The whole network.
    pub fn graph(&self) -> Result<Graph> {
        common::network(self.variant, &self.weights, self.preprocess)
    }
}
