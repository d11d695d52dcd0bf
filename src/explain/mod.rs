//! What a network sees, in pictures and numbers.

mod activations;
mod cam;
mod colour;
mod distance;
#[cfg(feature = "image")]
mod drawing;
mod dream;
mod explainer;
mod filters;
mod guided;
mod heatmap;
mod lbfgs;
mod logistic;
mod markup;
mod maximize;
mod numbers;
mod occlusion;
mod plot;
mod probe;
#[cfg(feature = "image")]
mod report;
mod saliency;
mod sheet;
mod space;
mod stylize;

pub use activations::{ActivationSheet, Activations, ChannelStatistics, Scale};
pub use cam::ScoreCam;
pub use colour::ColourMap;
pub use distance::{Lpips, PerceptualLoss, StyleLoss, gram_matrix, total_variation};
pub use dream::Dream;
pub use explainer::Explainer;
pub use filters::filter_pictures;
pub use heatmap::Heatmap;
pub use maximize::Maximization;
pub use occlusion::Occlusion;
pub use probe::{Probe, ProbeReport, ProbeRow};
#[cfg(feature = "image")]
pub use report::Report;
pub use saliency::{Attribution, SmoothGrad};
pub use sheet::Sheet;
pub use stylize::{StyleOptimizer, Stylize, Stylized};
