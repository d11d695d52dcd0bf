//! Shows what a network sees. In come a model and images. Out come heat maps,
//! feature maps, synthesized images, perceptual losses and reports. Nothing here
//! changes a model.

mod attribution;
mod check;
mod display;
mod features;
mod lbfgs;
mod markup;
mod numbers;
mod perceptual;
mod probing;
#[cfg(feature = "image")]
mod report;
mod space;
mod synthesis;

pub use attribution::{Attribution, Explained, Explainer, Occlusion, ScoreCam, SmoothGrad};
pub use display::{ColorMap, Heatmap, Sheet};
pub use features::{ActivationSheet, Activations, ChannelStatistics, Scale, filter_images};
pub use perceptual::{
    Dists, Lpips, PerceptualLoss, Ssim, StyleLoss, TargetLoss, gram_matrix, total_variation,
};
pub use probing::{Probe, ProbeReport, ProbeRow};
#[cfg(feature = "image")]
pub use report::Report;
pub use synthesis::{Dream, Maximization, StyleOptimizer, Stylize, Stylized};
