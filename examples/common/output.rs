//! Output folders.

use std::path::{Path, PathBuf};

use vgg_surgery::{Error, Result};

/// A folder of this name below `target`, created if it is missing.
pub fn folder(name: &str) -> Result<PathBuf> {
    let path = Path::new("target").join(name);
    create(&path)?;
    Ok(path)
}

/// Creates a folder if it is missing.
pub fn create(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|reason| Error::Io {
        path: path.to_path_buf(),
        reason,
    })
}
