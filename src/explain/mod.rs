//! What a network sees, in pictures and numbers.

mod activations;
mod colour;
mod filters;
mod heatmap;
mod sheet;

pub use activations::{ActivationSheet, Activations, ChannelStatistics, Scale};
pub use colour::ColourMap;
pub use filters::filter_pictures;
pub use heatmap::Heatmap;
pub use sheet::Sheet;
