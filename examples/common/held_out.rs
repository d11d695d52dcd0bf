//! Images to learn from, without the image to measure on.

use std::path::Path;

use vgg_surgery::{Error, Image, Result};

/// All images of a folder except one, sorted by name.
pub fn images_without(folder: &Path, held_out: &Path) -> Result<Vec<Image>> {
    let at = |path: &Path, reason| Error::Io {
        path: path.to_path_buf(),
        reason,
    };
    let held_out = held_out.canonicalize().map_err(|e| at(held_out, e))?;
    let entries = std::fs::read_dir(folder).map_err(|e| at(folder, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| at(folder, e))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let ending = ending.unwrap_or_default().to_lowercase();
        let is_image = ["png", "jpg", "jpeg", "webp"].contains(&ending.as_str());
        if is_image && path.canonicalize().map_err(|e| at(&path, e))? != held_out {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let none = std::io::Error::other("the folder has no image besides the held-out one");
        return Err(at(folder, none));
    }
    paths.sort();
    paths.iter().map(Image::open).collect()
}
