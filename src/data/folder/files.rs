//! Finding, checking and reading image files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::error::{DataError, Error, ImageError, Result, UnreadableFile, io_error};
use crate::preprocess::{Image, ImageOptions, Size, probe};
use crate::random::hash;
use crate::threads;

/// Extensions of images: first the supported formats, then formats that are
/// refused with an error instead of being ignored.
const ENDINGS: [&str; 15] = [
    "png", "jpg", "jpeg", "webp", "avif", "bmp", "gif", "heic", "heif", "jp2", "pgm", "ppm", "tga",
    "tif", "tiff",
];

/// The largest ratio of an image's sides.
const LONGEST_STRIP: usize = 100;

pub(super) fn require_readable(
    files: &[&Path],
    check: impl Fn(&Path) -> Result<()> + Sync,
) -> Result<()> {
    let refused: Vec<_> = refusals(files, check)?.into_iter().flatten().collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::Data(DataError::Unreadable {
        files: refused,
        total: files.len(),
    }))
}

fn refusals(
    files: &[&Path],
    check: impl Fn(&Path) -> Result<()> + Sync,
) -> Result<Vec<Option<UnreadableFile>>> {
    threads::start()?;
    let checked = files.par_iter().map(|&path| {
        let reason = check(path).err()?.into();
        let path = path.to_path_buf();
        Some(UnreadableFile { path, reason })
    });
    Ok(checked.collect())
}

/// An image file, and what is expected of a network for it.
#[derive(Clone, Debug)]
pub(super) struct ImageFile<T> {
    pub(super) path: PathBuf,
    pub(super) target: T,
}

impl<T> ImageFile<T> {
    /// A hash of the file's identity, numbers of the target and the options.
    pub(super) fn fingerprint(
        &self,
        target: impl Iterator<Item = u64>,
        images: &ImageOptions,
    ) -> Option<u64> {
        let options = format!("{images:?}").into_bytes();
        let identity = file_identity(&self.path)?.into_iter();
        let target = target.flat_map(u64::to_le_bytes);
        Some(hash(identity.chain(target).chain(options)))
    }
}

pub(super) fn paths<T>(files: &[ImageFile<T>]) -> Vec<&Path> {
    files.iter().map(|file| file.path.as_path()).collect()
}

/// The files that can be read, and those that are skipped. Without skipping, only
/// headers are read, and one that can't be is an error.
pub(super) fn usable<T>(
    files: Vec<ImageFile<T>>,
    skip_unreadable: bool,
    images: &ImageOptions,
) -> Result<(Vec<ImageFile<T>>, Vec<UnreadableFile>)> {
    if !skip_unreadable {
        require_readable(&paths(&files), |path| header(path, images).map(drop))?;
        return Ok((files, Vec::new()));
    }
    let refusals = refusals(&paths(&files), |path| read(path, images).map(drop))?;
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    for (file, refusal) in files.into_iter().zip(refusals) {
        match refusal {
            None => kept.push(file),
            Some(unreadable) => skipped.push(unreadable),
        }
    }
    Ok((kept, skipped))
}

/// The size of an image that may be worked on, from its header.
pub(super) fn header(path: &Path, images: &ImageOptions) -> Result<Size> {
    let size = probe(path, images).and_then(|size| check_strip(size).map(|()| size));
    size.map_err(|error| of_file(path, error))
}

pub(super) fn read(path: &Path, images: &ImageOptions) -> Result<Image> {
    let image = images.open(path).map_err(|error| of_file(path, error))?;
    check_strip(image.size()).map_err(|error| of_file(path, error))?;
    Ok(image)
}

/// Bytes that change with a file: its path, length and modification time.
pub(super) fn file_identity(path: &Path) -> Option<Vec<u8>> {
    let facts = fs::metadata(path).ok()?;
    let changed = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let mut bytes = path.as_os_str().as_encoded_bytes().to_vec();
    bytes.extend(facts.len().to_le_bytes());
    bytes.extend(changed.as_nanos().to_le_bytes());
    Some(bytes)
}

fn check_strip(Size { width, height }: Size) -> Result<()> {
    let (short, long) = (width.min(height), width.max(height));
    if long / LONGEST_STRIP < short || short * LONGEST_STRIP == long {
        return Ok(());
    }
    Err(Error::Image(ImageError::Size {
        width,
        height,
        reason: format!(
            "has one side over {LONGEST_STRIP} times the other; crop it or leave it out"
        ),
    }))
}

/// Adds the file to an error that does not name it.
pub(super) fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Image(ImageError::Unreadable { .. })
        | Error::MissingFeature { .. }
        | Error::Io { .. } => error,
        other => Error::Data(DataError::Image {
            file: path.to_path_buf(),
            reason: Box::new(other),
        }),
    }
}

/// Names and paths of the subfolders, sorted by name.
pub(super) fn class_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let (mut folders, files) = entries(folder)?;
    folders.sort_by_key(|path| name_of(path));
    if folders.is_empty() {
        return Err(Error::Data(DataError::NoClassFolders {
            folder: folder.to_path_buf(),
            images: files.iter().filter(|path| is_image(path)).count(),
        }));
    }
    let named = folders.into_iter().map(|path| (name_of(&path), path));
    Ok(named.collect())
}

/// The images below a folder, sorted by folder, then by name, as in torchvision.
pub(super) fn images_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pending = vec![folder.to_path_buf()];
    let mut found = Vec::new();
    let canonical = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    // Links may lead to a folder twice, in circles, or to a parent folder.
    let mut seen = HashSet::new();
    while let Some(folder) = pending.pop() {
        let own = canonical(&folder);
        if !seen.insert(own.clone()) {
            continue;
        }
        let (folders, files) = entries(&folder)?;
        let leads_down = |path: &PathBuf| !own.starts_with(canonical(path));
        pending.extend(folders.into_iter().filter(leads_down));
        found.extend(files.into_iter().filter(|path| is_image(path)));
    }
    found.sort_by_cached_key(|path| {
        let folder = path
            .parent()
            .map(|folder| folder.to_string_lossy().into_owned());
        (folder, name_of(path))
    });
    Ok(found)
}

/// The folders and files in a folder, without hidden ones. Links are followed.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let failed = |reason| io_error(folder, reason);
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if name_of(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else {
            files.push(path);
        }
    }
    Ok((folders, files))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new(""));
    name.to_string_lossy().into_owned()
}

pub(super) fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}
