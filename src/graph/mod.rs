//! The network as a value: nodes, shapes, origins, and the edits on them.

mod weight_set;

pub(crate) use weight_set::{HubFile, Layout, Location, WeightKey};
pub use weight_set::{TensorSource, WeightSet};
