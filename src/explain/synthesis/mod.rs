//! Images that are made by gradients. In come a model and what it shall see:
//! a channel, a class, more of what it sees already, the content of one image
//! in the style of another. Out come images.

mod dream;
mod maximize;
mod stylize;

pub use dream::Dream;
pub use maximize::Maximization;
pub use stylize::{StyleOptimizer, Stylize, Stylized};
