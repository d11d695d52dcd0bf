//! What a network sees, in pictures and numbers.

mod activations;
mod cam;
mod colour;
mod explainer;
mod filters;
mod guided;
mod heatmap;
mod random;
mod saliency;
mod sheet;

pub use activations::{ActivationSheet, Activations, ChannelStatistics, Scale};
pub use cam::ScoreCam;
pub use colour::ColourMap;
pub use explainer::Explainer;
pub use filters::filter_pictures;
pub use heatmap::Heatmap;
pub use saliency::{Attribution, Occlusion, SmoothGrad};
pub use sheet::Sheet;
