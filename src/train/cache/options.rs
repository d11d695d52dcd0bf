use std::path::PathBuf;

/// Settings of the cache for the output of frozen layers, which is then computed
/// only once for each example.
///
/// The cache is used if the first layers are frozen and the data set has
/// fingerprints. At the beginning of a `fit` the cached features are dropped if
/// a weight or setting of these layers, the preprocessing or an example's
/// fingerprint has changed.
///
/// ```
/// use vgg_surgery::train::FeatureCache;
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
    /// A cache of up to 1 GiB in memory, and up to 4 GiB more in a file in the
    /// system's folder for temporary files.
    pub fn new() -> Self {
        Self {
            is_on: true,
            memory_limit: 1 << 30,
            file_limit: 4 << 30,
            folder: None,
            views: 0,
        }
    }

    /// No cache: the frozen layers run in every epoch.
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
    /// data each. If memory and file together can't hold all features,
    /// nothing is cached.
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = bytes;
        self
    }

    /// Sets the folder of the file. The file is removed after use; on Unix its
    /// name is removed at once after it is opened.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Caches this many augmented views of each example, which the epochs use in
    /// turn. By default augmented examples are not cached.
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
