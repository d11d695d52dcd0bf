//! Examples to learn from: where they come from, and how they become batches.

mod batch;
mod dataset;
mod loader;
mod memory;
mod random;
mod sample;
mod tensors;

pub use batch::{Batch, Targets};
pub use dataset::Dataset;
pub use loader::{Batches, Epoch, Loader};
pub use memory::{FnDataset, MemoryDataset};
pub use sample::{Sample, SampleInput, Target};
pub use tensors::TensorDataset;
