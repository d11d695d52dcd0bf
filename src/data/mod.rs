//! Data sets and batches. In come folders, tensors, functions and computed
//! images; out come batches in an order that depends on a seed, optionally
//! augmented.

mod augment;
mod batch;
mod dataset;
mod features;
#[cfg(feature = "image")]
mod folder;
mod loader;
mod mask;
mod memory;
mod procedural;
mod random;
mod sample;
mod selection;
mod tensors;

pub use augment::{Augmentation, Fill};
pub use batch::{Batch, Targets};
pub use dataset::{Dataset, Subset};
#[cfg(feature = "image")]
pub use folder::{
    ImageFolder, ImageFolderOptions, ImageLabelFolder, ImageLabelOptions, ImageMaskFolder,
};
pub use loader::{Batches, Epoch, Loader};
pub use mask::Mask;
pub use memory::{FnDataset, MemoryDataset};
pub use procedural::{Motif, ProceduralDataset};
pub use sample::{Sample, SampleInput, Target};
pub use tensors::TensorDataset;
