//! A cache of the output of frozen layers for each example, used in every epoch.
//! Comes in: the frozen part of a model, a data set, and limits on memory and
//! disk. Goes out: batches of features with their targets, or the reason why
//! nothing is cached.

mod features;
mod fill;
mod options;
mod row_file;
mod store;

pub(super) use features::{CachedFeatures, FeatureCaches, Source};
pub(super) use fill::{NotCached, fill};
pub use options::FeatureCache;
