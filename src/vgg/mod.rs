//! The VGG family as a table, its names in other libraries, and its entry points.
//! In come options and a weight set; out goes a graph that says where each
//! parameter's values are.

mod assemble;
#[cfg(feature = "candle-transformers")]
mod candle;
mod dialects;
mod entry;
mod family;
mod names;
mod nano;
mod options;

pub use entry::{Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn};
pub use names::{vgg11, vgg13, vgg16, vgg19};
pub use options::{Top, VggOptions};
