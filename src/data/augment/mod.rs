//! Changes images at random, against overfitting. In come an image or a batch
//! and a seeded stream; out comes a changed image or a mixed batch.

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
