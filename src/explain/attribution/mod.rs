//! Which parts of an image support a class. In come a model, an image and a class;
//! out comes a number for each pixel.

mod cam;
mod explainer;
mod guided;
mod occlusion;
mod saliency;

pub use cam::ScoreCam;
pub use explainer::{Explained, Explainer};
pub use occlusion::Occlusion;
pub use saliency::{Attribution, SmoothGrad};
