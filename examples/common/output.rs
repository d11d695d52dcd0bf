//! Output folders.

use std::path::{Path, PathBuf};

use vgg_surgery::{Error, Result};

/// A folder of this name below `target`, created if it is missing.
pub fn folder(name: &str) -> Result<PathBuf> {
    let path = Path::new("target").join(name);
    match std::fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(reason) => Err(Error::Io { path, reason }),
    }
}
