//! What frozen layers give for each example, kept from one epoch to the next.

mod fill;
mod store;

use std::path::PathBuf;

pub(super) use fill::{Kept, Source, fill};

/// Whether and where the output of frozen layers is kept, so that it is
/// computed once for each example.
///
/// It is used where the first layers are frozen and the data set knows
/// fingerprints; what was kept is dropped when a weight or setting of those
/// layers, the preprocessing or an example's fingerprint has changed at the
/// beginning of a `fit`.
///
/// ```
/// use vgg_surgery::FeatureCache;
///
/// let cache = FeatureCache::new().memory_limit(256 << 20).file_limit(0);
/// let none = FeatureCache::off();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FeatureCache {
    pub(super) is_on: bool,
    pub(super) memory_limit: u64,
    pub(super) file_limit: u64,
    pub(super) folder: Option<PathBuf>,
    pub(super) views: u64,
}

impl FeatureCache {
    /// Up to 1 GiB in memory, and 4 GiB more in a file of the system's folder
    /// for temporary files.
    pub fn new() -> Self {
        Self {
            is_on: true,
            memory_limit: 1 << 30,
            file_limit: 4 << 30,
            folder: None,
            views: 0,
        }
    }

    /// Nothing is kept.
    pub fn off() -> Self {
        Self {
            is_on: false,
            ..Self::new()
        }
    }

    /// Sets the most bytes that are kept in memory, for training and
    /// validation data each.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the most bytes that are kept in a file besides, for training and
    /// validation data each. Where both don't hold everything, nothing is
    /// kept.
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = bytes;
        self
    }

    /// Sets the folder of the file, which is removed in the end; on Unix it
    /// has no name there even before.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Keeps so many augmented views of each example, which epochs take in
    /// turn; without it nothing is kept of examples that are augmented.
    pub fn views(mut self, views: u64) -> Self {
        self.views = views;
        self
    }
}

impl Default for FeatureCache {
    fn default() -> Self {
        Self::new()
    }
}
