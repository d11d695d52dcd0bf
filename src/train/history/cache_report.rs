use std::fmt;

use serde::{Deserialize, Serialize};

/// How much of the frozen layers' output was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheReport {
    /// The layer whose output was kept.
    pub layer: String,
    /// Examples whose output was kept; each view counts.
    pub examples: usize,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in a file.
    pub file_bytes: u64,
}

impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            layer,
            examples,
            memory_bytes,
            file_bytes,
        } = self;
        let megabytes = |bytes: &u64| *bytes as f64 / 1e6;
        write!(
            f,
            "the output of \"{layer}\" was kept for {examples} examples: {:.1} MB in memory, \
             {:.1} MB in a file",
            megabytes(memory_bytes),
            megabytes(file_bytes)
        )
    }
}
