//! Images changed at random, so that a network does not memorize them. In come
//! an image and a seeded stream; out comes another image, or a mixed batch.

mod apply;
mod color;
mod draw;
mod geometry;
mod mixup;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use mixup::mix;
pub use settings::{Augmentation, Fill};
