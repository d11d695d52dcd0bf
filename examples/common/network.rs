//! Options for the network of an example.

use clap::Args;
use vgg_surgery::{Graph, Result};

use crate::common::{self, Preprocess, Source, Variant};

#[derive(Args)]
pub struct NetworkArguments {
    /// "hub", "hub:OWNER/NAME[@REVISION]", "random", or a file of safetensors,
    /// PyTorch (.pth, ..) or, if built with --features keras, Keras (.h5, .keras)
    #[arg(long, default_value = "hub")]
    weights: Source,
    /// The network
    #[arg(long, value_enum, default_value = "vgg16")]
    variant: Variant,
    /// Preprocessing of the image [default: torchvision for hub weights and for
    /// files with torchvision's names, such as features.0.weight, unless their
    /// metadata state Caffe's mean as "input"; caffe, which is Keras' too, for Keras
    /// files, random weights and all other files]
    #[arg(long, value_enum)]
    preprocess: Option<Preprocess>,
}

impl NetworkArguments {
    /// The whole network.
    pub fn graph(&self) -> Result<Graph> {
        common::network(self.variant, &self.weights, self.preprocess)
    }
}
