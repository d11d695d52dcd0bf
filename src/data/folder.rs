use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::error::{DataError, Error, ImageError, Result, UnreadableFile, io_error};
use crate::preprocess::{Image, Labels, Size, probe};
use crate::random::hash;

use super::dataset::{Dataset, check_index};
use super::sample::Sample;

/// Images of one class a sub-folder, as torchvision's `ImageFolder` and
/// Keras' `image_dataset_from_directory` take them.
///
/// Classes are the sub-folders in the order of their names. An image lies
/// anywhere below its class folder; files that aren't named as images are
/// left aside, and so is all whose name begins with a dot. Nothing but names
/// and headers is read until an image is asked for.
///
/// ```no_run
/// use vgg_surgery::{Dataset, ImageFolder};
///
/// let images = ImageFolder::open("flowers")?;       // flowers/rose/1.jpg, flowers/tulip/..
/// let (train, validation) = images.split(0.8, 7)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageFolder {
    classes: Labels,
    files: Vec<ImageFile>,
    skipped: Vec<UnreadableFile>,
}

/// How a folder of images is opened; see [`ImageFolder::options`].
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

/// Endings of images: first of those that are read, then of those that are
/// refused by name rather than passed over.
const ENDINGS: [&str; 15] = [
    "png", "jpg", "jpeg", "webp", "avif", "bmp", "gif", "heic", "heif", "jp2", "pgm", "ppm", "tga",
    "tif", "tiff",
];

/// How many times longer than the other an image's longer side may be.
const LONGEST_STRIP: usize = 100;

impl ImageFolder {
    /// Opens a folder with a sub-folder for each of two or more classes.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder can't be read; [`DataError::NoClassFolders`],
    /// [`DataError::OneClass`], [`DataError::EmptyClass`];
    /// [`DataError::Unreadable`] if the headers of files tell that they are no
    /// images, or images that one side of is over 100 times the other.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(folder)
    }

    /// Ways to open a folder: with given classes, without what can't be read.
    pub fn options() -> ImageFolderOptions {
        ImageFolderOptions::default()
    }

    /// Files that were left out since they can't be used, in the order of
    /// their names.
    pub fn skipped(&self) -> &[UnreadableFile] {
        &self.skipped
    }

    /// The file of an example.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|file| file.path.as_path())
    }

    /// Decodes every image, in parallel, and keeps none.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] with all that can't be decoded.
    pub fn verify(&self) -> Result<()> {
        let damaged = unreadable(&self.files, |path| read(path).map(|_| ()));
        if damaged.is_empty() {
            return Ok(());
        }
        Err(Error::Data(DataError::Unreadable {
            files: damaged.into_iter().map(|(_, file)| file).collect(),
            total: self.files.len(),
        }))
    }
}

impl ImageFolderOptions {
    /// Sets the classes: a sub-folder's class is the label that it is named
    /// after. A test set opened with the classes of its training set counts
    /// them alike, even if it lacks some.
    pub fn with_classes(mut self, classes: Labels) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Decodes every image once, and leaves those out that can't be decoded;
    /// [`ImageFolder::skipped`] names them.
    pub fn skip_unreadable(mut self) -> Self {
        self.skip_unreadable = true;
        self
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// As [`ImageFolder::open`]; with classes given a single one will do, and
    /// a sub-folder of another name is [`DataError::UnknownClass`]; files that
    /// can't be read are none if they are skipped, unless nothing is left of a
    /// class.
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
        let (files, skipped) = self.sift(files)?;
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
            skipped,
        })
    }

    /// The files that can be used, and those that can't.
    fn sift(&self, files: Vec<ImageFile>) -> Result<(Vec<ImageFile>, Vec<UnreadableFile>)> {
        if !self.skip_unreadable {
            let refused = unreadable(&files, |path| header(path).map(|_| ()));
            if refused.is_empty() {
                return Ok((files, Vec::new()));
            }
            return Err(Error::Data(DataError::Unreadable {
                files: refused.into_iter().map(|(_, file)| file).collect(),
                total: files.len(),
            }));
        }
        let (places, skipped): (Vec<usize>, Vec<UnreadableFile>) =
            unreadable(&files, |path| read(path).map(|_| ()))
                .into_iter()
                .unzip();
        let mut places = places.into_iter().peekable();
        let kept = files.into_iter().enumerate();
        let kept = kept.filter(|(place, _)| places.next_if_eq(place).is_none());
        Ok((kept.map(|(_, file)| file).collect(), skipped))
    }
}

/// Those of the files that a check refuses, with their places.
fn unreadable(
    files: &[ImageFile],
    check: impl Fn(&Path) -> Result<()> + Sync,
) -> Vec<(usize, UnreadableFile)> {
    let checked = files.par_iter().enumerate().filter_map(|(place, file)| {
        let reason = check(&file.path).err()?;
        let path = file.path.clone();
        let reason = reason.into();
        Some((place, UnreadableFile { path, reason }))
    });
    checked.collect()
}

fn header(path: &Path) -> Result<()> {
    let size = probe(path).map_err(|error| of_file(path, error))?;
    check_strip(size).map_err(|error| of_file(path, error))
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
        reason: format!("has a side over {LONGEST_STRIP} times the other; crop it or leave it out"),
    }))
}

/// The error, with the file where it does not name it.
fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Image(ImageError::Unreadable { .. }) | Error::Io { .. } => error,
        other => Error::Data(DataError::Image {
            file: path.to_path_buf(),
            reason: Box::new(other),
        }),
    }
}

/// Names and paths of the sub-folders, in the order of their names.
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

/// The images below a folder, by folder, then by name: torchvision's order.
fn images_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut pending = vec![folder.to_path_buf()];
    let mut found = Vec::new();
    let canonical = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    // Links may lead to a folder again, in circles and to those above.
    let mut seen = HashSet::new();
    while let Some(folder) = pending.pop() {
        let own = canonical(&folder);
        if !seen.insert(own.clone()) {
            continue;
        }
        let (folders, files) = entries(&folder)?;
        let leads_down = |path: &PathBuf| !own.starts_with(canonical(path));
        pending.extend(folders.into_iter().filter(leads_down));
        let images = files.into_iter().filter(|path| is_image(path));
        found.extend(images.map(|path| (folder.to_string_lossy().into_owned(), path)));
    }
    found.sort_by(|(a_folder, a), (b_folder, b)| {
        a_folder
            .cmp(b_folder)
            .then_with(|| name_of(a).cmp(&name_of(b)))
    });
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Folders and files of a folder, links followed, without hidden ones.
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

    /// Of the file's path, length and time of change, and of the class.
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
