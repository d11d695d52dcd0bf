//! Images made by gradient ascent or descent. In come a model and a goal: the
//! maximum of a channel, a stronger response to an image, or the content of one
//! image in the style of another. Out come images.

mod dream;
mod maximize;
mod stylize;

pub use dream::Dream;
pub use maximize::Maximization;
pub use stylize::{StyleOptimizer, Stylize, Stylized};
