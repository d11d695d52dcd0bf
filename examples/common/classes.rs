//! The data set of an example.

use std::path::PathBuf;

use clap::Args;
use vgg_surgery::data::{Motif, ProceduralDataset};
use vgg_surgery::{Dataset, ImageFolder, Result};

#[derive(Args)]
pub struct ClassesArguments {
    /// A folder with a subfolder of small images for each class [default:
    /// computed images]
    #[arg(long, value_name = "DIR")]
    classes: Option<PathBuf>,
}

impl ClassesArguments {
    pub fn dataset(&self) -> Result<Box<dyn Dataset>> {
        Ok(match &self.classes {
            Some(folder) => Box::new(ImageFolder::open(folder)?),
            None => Box::new(ProceduralDataset::new(Motif::HELD_OUT, 20)?),
        })
    }
}
