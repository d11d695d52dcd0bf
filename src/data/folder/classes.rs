use std::path::Path;
use std::sync::Arc;

use crate::data::dataset::{Dataset, check_index};
use crate::data::sample::Sample;
use crate::error::{DataError, Error, Result, UnreadableFile, printable};
use crate::preprocess::{ImageOptions, Labels};

use super::files::{
    ImageFile, class_folders, images_below, methods_of_files, options_of_files, read, usable,
    verify,
};

/// Images in a folder with a subfolder for each class, as for torchvision's
/// `ImageFolder` and Keras' `image_dataset_from_directory`.
///
/// The classes are the subfolders, sorted by name. Images may be anywhere below
/// their class folder. Files without an image extension are ignored, and so are
/// names that begin with a dot. Opening reads only names and headers.
///
/// [`ImageLabelOptions::open_classes`](super::ImageLabelOptions::open_classes) opens
/// images whose classes are in a CSV or JSON file instead.
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
    pub(super) classes: Labels,
    pub(super) files: Vec<ImageFile<usize>>,
    pub(super) skipped: Arc<[UnreadableFile]>,
    pub(super) images: ImageOptions,
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
    images: ImageOptions,
}

impl ImageFolder {
    /// Opens a folder with a subfolder for each of two or more classes.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder can't be read; [`DataError::NoClassFolders`],
    /// [`DataError::OneClass`], [`DataError::EmptyFolder`];
    /// [`DataError::Unreadable`] if a file's header is not that of an image, or
    /// one side of an image is over 100 times the other.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(folder)
    }

    /// Options for opening a folder: known classes, skipping unreadable files.
    pub fn options() -> ImageFolderOptions {
        ImageFolderOptions::default()
    }

    methods_of_files!("sorted by name");
}

impl ImageFolderOptions {
    /// Sets the classes. A subfolder belongs to the label of its name. A test
    /// set opened with the classes of its training set has the same class
    /// indices, even if some classes are missing.
    pub fn with_classes(mut self, classes: Labels) -> Self {
        self.classes = Some(classes);
        self
    }

    options_of_files!("ImageFolder");

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
                class: printable(class),
            }));
        }
        let classes = match &self.classes {
            Some(classes) => classes.clone(),
            None => Labels::new(named.iter().map(|(name, _)| name.as_str())),
        };
        let mut files = Vec::new();
        for (name, path) in &named {
            let Some(&target) = classes.find(name).first() else {
                return Err(Error::Data(DataError::UnknownClass {
                    folder: path.clone(),
                    classes: classes.len(),
                }));
            };
            let found = images_below(path)?;
            files.extend(found.into_iter().map(|path| ImageFile { path, target }));
        }
        let (files, skipped) = usable(files, self.skip_unreadable, &self.images)?;
        for (_, path) in &named {
            if !files.iter().any(|file| file.path.starts_with(path)) {
                return Err(Error::Data(DataError::EmptyFolder {
                    folder: path.clone(),
                }));
            }
        }
        Ok(ImageFolder {
            classes,
            files,
            skipped: skipped.into(),
            images: self.images,
        })
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let file = &self.files[index];
        Ok(Sample::new(read(&file.path, &self.images)?, file.target))
    }

    fn classes(&self) -> Option<&Labels> {
        Some(&self.classes)
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        self.files.get(index).map(|file| file.target)
    }

    /// A hash of the file's path, length and modification time, the class and
    /// the options.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let file = self.files.get(index)?;
        file.fingerprint([file.target as u64].into_iter(), &self.images)
    }
}
