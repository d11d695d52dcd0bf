//! Where examples put what they make.

use std::path::{Path, PathBuf};

use vgg_surgery::{Error, Result};

/// A folder of this name below `target`, made if need be.
pub fn folder(name: &str) -> Result<PathBuf> {
    let path = Path::new("target").join(name);
    match std::fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(reason) => Err(Error::Io { path, reason }),
    }
}
