//! Shows feature maps and filters. In come a model and images; out come feature
//! maps with their statistics, and filters, as numbers and as images.

mod activations;
mod filters;

pub use activations::{ActivationSheet, Activations, ChannelStatistics, Scale};
pub use filters::filter_images;
