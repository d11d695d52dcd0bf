//! From a picture to the tensor a network was trained on.

mod labels;
mod pipeline;

pub use labels::{Label, Labels};
pub use pipeline::Preprocessing;
