//! Cut, splice, re-head and run pretrained VGG networks.

mod error;
mod graph;
mod nearest;
mod preprocess;
mod shape;
mod weights;

pub use error::{Error, Result};
pub use graph::{TensorSource, WeightSet};
pub use preprocess::{Labels, Preprocessing};
pub use shape::Shape;
#[cfg(feature = "progress")]
pub use weights::ProgressBar;
pub use weights::{HubOptions, LoadOptions, Progress};
