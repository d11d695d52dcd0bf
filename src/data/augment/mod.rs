//! Pictures changed at random, so that a network does not learn them by heart.

mod apply;
mod colour;
mod draw;
mod geometry;
mod mixup;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use mixup::mix;
pub use settings::{Augmentation, Fill};
