use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::error::{DataError, Error, ImageError, Result, UnreadableFile, io_error};
use crate::preprocess::{Image, Labels, Size, probe};
use crate::random::hash;

use super::dataset::{Dataset, check_index};
use super::sample::Sample;

/// Images in a folder with a subfolder for each class, as for torchvision's
/// `ImageFolder` and Keras' `image_dataset_from_directory`.
///
/// The classes are the subfolders, sorted by name. Images may be anywhere below
/// their class folder. Files without an image extension are ignored, and so are
/// names that begin with a dot. Opening reads only names and headers.
///
/// ```no_run
/// use vgg_surgery::{Dataset, ImageFolder};
///
/// let images = ImageFolder::open("flowers")?;       // flowers/rose/1.jpg, flowers/tulip/..
/// let (train, validation) = images.split(0.8, 7)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Labels,
    files: Vec<ImageFile>,
    skipped: Arc<[UnreadableFile]>,
}

/// Options for opening a folder of images; see [`ImageFolder::options`].
///
/// ```no_run
/// use vgg_surgery::{Dataset, ImageFolder};
///
/// let train = ImageFolder::options().skip_unreadable().open("flowers/train")?;
/// for file in train.skipped() {
///     eprintln!("{}", file.reason);
/// }
/// let labels = train.classes().cloned().unwrap();
/// let test = ImageFolder::options().with_classes(labels).open("flowers/test")?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ImageFolderOptions {
    classes: Option<Labels>,
    skip_unreadable: bool,
}

#[derive(Clone, Debug)]
struct ImageFile {
    path: PathBuf,
    class: usize,
}

/// Extensions of images: first the supported formats, then formats that are
/// refused with an error instead of being ignored.
const ENDINGS: [&str; 15] = [
    "png", "jpg", "jpeg", "webp", "avif", "bmp", "gif", "heic", "heif", "jp2", "pgm", "ppm", "tga",
    "tif", "tiff",
];

/// The largest ratio of an image's sides.
const LONGEST_STRIP: usize = 100;

impl ImageFolder {
    /// Opens a folder with a subfolder for each of two or more classes.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder can't be read; [`DataError::NoClassFolders`],
    /// [`DataError::OneClass`], [`DataError::EmptyClass`];
    /// [`DataError::Unreadable`] if a file's header is not that of an image, or
    /// one side of an image is over 100 times the other.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(folder)
    }

    /// Options for opening a folder: known classes, skipping unreadable files.
    pub fn options() -> ImageFolderOptions {
        ImageFolderOptions::default()
    }

    /// The unreadable files that were skipped, sorted by name.
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
        require_readable(&self.files, |path| read(path).map(drop))
    }
}

impl ImageFolderOptions {
    /// Sets the classes. A subfolder belongs to the label of its name. A test
    /// set opened with the classes of its training set has the same class
    /// indices, even if some classes are missing.
    pub fn with_classes(mut self, classes: Labels) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Decodes every image once and skips the images that can't be decoded.
    /// [`ImageFolder::skipped`] lists them.
    pub fn skip_unreadable(mut self) -> Self {
        self.skip_unreadable = true;
        self
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]. With known classes, one subfolder is enough,
    /// and a subfolder of another name is [`DataError::UnknownClass`]. Skipped
    /// files are no error unless a class becomes empty.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        let named = class_folders(folder)?;
        if let ([(class, _)], None) = (named.as_slice(), &self.classes) {
            return Err(Error::Data(DataError::OneClass {
                folder: folder.to_path_buf(),
                class: class.clone(),
            }));
        }
        let classes = match &self.classes {
            Some(classes) => classes.clone(),
            None => Labels::new(named.iter().map(|(name, _)| name.as_str())),
        };
        let mut files = Vec::new();
        for (name, path) in &named {
            let Some(&class) = classes.find(name).first() else {
                return Err(Error::Data(DataError::UnknownClass {
                    folder: path.clone(),
                    classes: classes.len(),
                }));
            };
            let found = images_below(path)?;
            files.extend(found.into_iter().map(|path| ImageFile { path, class }));
        }
        let (files, skipped) = if self.skip_unreadable {
            sift(files)
        } else {
            require_readable(&files, header)?;
            (files, Vec::new())
        };
        for (_, path) in &named {
            if !files.iter().any(|file| file.path.starts_with(path)) {
                return Err(Error::Data(DataError::EmptyClass {
                    folder: path.clone(),
                }));
            }
        }
        Ok(ImageFolder {
            classes,
            files,
            skipped: skipped.into(),
        })
    }
}

fn sift(files: Vec<ImageFile>) -> (Vec<ImageFile>, Vec<UnreadableFile>) {
    let refusals = refusals(&files, |path| read(path).map(drop));
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    for (file, refusal) in files.into_iter().zip(refusals) {
        match refusal {
            None => kept.push(file),
            Some(unreadable) => skipped.push(unreadable),
        }
    }
    (kept, skipped)
}

fn require_readable(files: &[ImageFile], check: impl Fn(&Path) -> Result<()> + Sync) -> Result<()> {
    let refused: Vec<_> = refusals(files, check).into_iter().flatten().collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::Data(DataError::Unreadable {
        files: refused,
        total: files.len(),
    }))
}

fn refusals(
    files: &[ImageFile],
    check: impl Fn(&Path) -> Result<()> + Sync,
) -> Vec<Option<UnreadableFile>> {
    let checked = files.par_iter().map(|file| {
        let reason = check(&file.path).err()?.into();
        let path = file.path.clone();
        Some(UnreadableFile { path, reason })
    });
    checked.collect()
}

fn header(path: &Path) -> Result<()> {
    let checked = probe(path).and_then(check_strip);
    checked.map_err(|error| of_file(path, error))
}

fn read(path: &Path) -> Result<Image> {
    let image = Image::open(path).map_err(|error| of_file(path, error))?;
    check_strip(image.size()).map_err(|error| of_file(path, error))?;
    Ok(image)
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
fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Image(ImageError::Unreadable { .. }) | Error::Io { .. } => error,
        other => Error::Data(DataError::Image {
            file: path.to_path_buf(),
            reason: Box::new(other),
        }),
    }
}

/// Names and paths of the subfolders, sorted by name.
fn class_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
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
fn images_below(folder: &Path) -> Result<Vec<PathBuf>> {
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

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let file = &self.files[index];
        Ok(Sample::new(read(&file.path)?, file.class))
    }

    fn classes(&self) -> Option<&Labels> {
        Some(&self.classes)
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        self.files.get(index).map(|file| file.class)
    }

    /// A hash of the file's path, length and modification time, and the class.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let file = self.files.get(index)?;
        let path = &file.path;
        let facts = fs::metadata(path).ok()?;
        let changed = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let name = path.as_os_str().as_encoded_bytes().iter().copied();
        let numbers = facts.len().to_le_bytes().into_iter();
        let time = changed.as_nanos().to_le_bytes();
        let class = (file.class as u64).to_le_bytes();
        Some(hash(name.chain(numbers).chain(time).chain(class)))
    }
}
