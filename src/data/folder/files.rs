//! Finding, checking and reading image files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
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

/// The methods of a data set with the fields `files`, `skipped` and `images`.
macro_rules! methods_of_files {
    ($order:literal) => {
        #[doc = concat!("The missing and unreadable files that were skipped, ", $order, ".")]
        pub fn skipped(&self) -> &[UnreadableFile] {
            &self.skipped
        }

        /// The file of an example.
        pub fn path(&self, index: usize) -> Option<&Path> {
            self.files.get(index).map(|file| file.path.as_path())
        }

        /// Decodes every image, in parallel, to check that all can be read.
        ///
        /// # Errors
        /// [`DataError::Unreadable`] with all files that can't be decoded.
        pub fn verify(&self) -> Result<()> {
            verify(&self.files, &self.images)
        }
    };
}

/// The options with the fields `skip_unreadable` and `images`.
macro_rules! options_of_files {
    ($folder:literal) => {
        /// Decodes every image once and skips the images that are missing, can't be
        #[doc = concat!("decoded, or must not be read. [`", $folder, "::skipped`] lists them.")]
        /// A folder that must not be read, and a lack of memory or of file
        /// descriptors, are errors all the same.
        pub fn skip_unreadable(mut self) -> Self {
            self.skip_unreadable = true;
            self
        }

        /// Sets how images are read: truncated files, orientation, a window of
        /// 16-bit gray, how much memory one may take.
        pub fn image_options(mut self, images: ImageOptions) -> Self {
            self.images = images;
            self
        }
    };
}

pub(super) use {methods_of_files, options_of_files};

/// The largest ratio of an image's sides.
const LONGEST_STRIP: usize = 100;

/// # Errors
/// [`DataError::Unreadable`] with all files that can't be decoded.
pub(super) fn verify<T: Sync>(files: &[ImageFile<T>], images: &ImageOptions) -> Result<()> {
    require_readable(files, |path| read(path, images).map(drop))
}

fn require_readable<T: Sync>(
    files: &[ImageFile<T>],
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

/// Why each file can't be used, if so.
///
/// # Errors
/// That of a file for which the system lacked something: other files would fail too.
fn refusals<T: Sync>(
    files: &[ImageFile<T>],
    check: impl Fn(&Path) -> Result<()> + Sync,
) -> Result<Vec<Option<UnreadableFile>>> {
    threads::start()?;
    let checked = files.par_iter().map(|file| match check(&file.path) {
        Err(Error::Io { path, reason }) if is_of_system(&reason) => Err(io_error(&path, reason)),
        checked => Ok(checked.err().map(|reason| UnreadableFile {
            path: file.path.clone(),
            reason: reason.into(),
        })),
    });
    // Collecting all results first returns the first file's error.
    let checked: Vec<_> = checked.collect();
    checked.into_iter().collect()
}

/// Whether a file could not be opened for lack of memory or of file descriptors.
fn is_of_system(error: &io::Error) -> bool {
    // These have no stable kind.
    #[cfg(unix)]
    let too_many_open = [libc::ENFILE, libc::EMFILE];
    // ERROR_TOO_MANY_OPEN_FILES
    #[cfg(not(unix))]
    let too_many_open = [4];
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::OutOfMemory || code.is_some_and(|c| too_many_open.contains(&c))
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

/// The files that can be read, and those that are skipped. Without skipping, only
/// headers are read, and one that can't be is an error.
pub(super) fn usable<T: Sync>(
    files: Vec<ImageFile<T>>,
    skip_unreadable: bool,
    images: &ImageOptions,
) -> Result<(Vec<ImageFile<T>>, Vec<UnreadableFile>)> {
    if !skip_unreadable {
        require_readable(&files, |path| header(path, images).map(drop))?;
        return Ok((files, Vec::new()));
    }
    let refusals = refusals(&files, |path| read(path, images).map(drop))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 75 of 80 images were reported as unusable when descriptors ran out.
    #[test]
    fn a_lack_of_descriptors_is_no_fault_of_a_file() {
        let files = ["a.png", "b.png"].map(|name| ImageFile {
            path: PathBuf::from(name),
            target: 0,
        });
        let checked = |code: i32| {
            require_readable(&files, |path| match path.ends_with("b.png") {
                true => Err(io_error(path, io::Error::from_raw_os_error(code))),
                false => Ok(()),
            })
        };
        #[cfg(unix)]
        let lacking = [libc::ENFILE, libc::EMFILE];
        #[cfg(not(unix))]
        let lacking = [4];
        for code in lacking {
            let error = checked(code).unwrap_err();
            assert!(
                matches!(&error, Error::Io { path, .. } if path.ends_with("b.png")),
                "{error}"
            );
        }
        // ENOENT and EACCES, of which the file itself can be mended.
        for (code, reason) in [(2, "No such file"), (13, "Permission denied")] {
            let error = checked(code).unwrap_err();
            assert!(matches!(
                error,
                Error::Data(DataError::Unreadable { total: 2, .. })
            ));
            assert!(!cfg!(unix) || error.to_string().contains(reason), "{error}");
        }
    }
}
