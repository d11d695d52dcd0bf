use std::path::PathBuf;

/// Whether and where the output of frozen layers is kept, to be computed only
/// once for each example.
///
/// It is used where the first layers are frozen and the data set gives
/// fingerprints. At the beginning of a `fit` the features are dropped if a
/// weight or setting of those layers, the preprocessing or an example's
/// fingerprint has changed.
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
    pub(in crate::train) is_on: bool,
    pub(in crate::train) memory_limit: u64,
    pub(in crate::train) file_limit: u64,
    pub(in crate::train) folder: Option<PathBuf>,
    pub(in crate::train) views: u64,
}

impl FeatureCache {
    /// Up to 1 GiB in memory, and 4 GiB more in a file in the system's folder
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

    /// Sets the limit of bytes in memory, for training and validation data
    /// each.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the limit of further bytes in a file, for training and validation
    /// data each. If memory and file together can't hold everything, nothing is
    /// kept.
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = bytes;
        self
    }

    /// Sets the folder of the file. The file is removed in the end; on Unix it
    /// has no name from the beginning.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Keeps this many augmented views of each example, which the epochs use in
    /// turn. By default nothing is kept of augmented examples.
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
