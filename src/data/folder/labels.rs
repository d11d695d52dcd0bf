use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::data::dataset::{Dataset, check_index};
use crate::data::sample::Sample;
use crate::error::{DataError, Error, Result, UnreadableFile, printable};
use crate::nearest::nearest;
use crate::preprocess::{ImageOptions, Labels};

use super::classes::ImageFolder;
use super::files::{ImageFile, methods_of_files, options_of_files, read, usable, verify};
use super::label_file::{Columns, LabelTable, LabeledName, read_labels, repeated};

/// Images in a folder that may have any number of labels each, from a CSV or JSON
/// file: a multi-label data set.
///
/// Targets are 1 for the labels of an image and 0 for the others, `(N, K)` in a
/// batch. They suit a network of `K` outputs that ends in a sigmoid, under
/// [`Loss::binary_cross_entropy`](crate::Loss::binary_cross_entropy). For one label an
/// image, [`ImageLabelOptions::open_classes`] opens an [`ImageFolder`].
///
/// ```no_run
/// use vgg_surgery::data::ImageLabelFolder;
/// use vgg_surgery::Dataset;
///
/// let photos = ImageLabelFolder::open("photos", "labels.csv")?;
/// let (train, validation) = photos.split(0.8, 7)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// These files say the same:
///
/// ```text
/// image,labels            image,first,second      image,cat,dog,grass
/// a.jpg,cat;grass         a.jpg,cat,grass         a.jpg,1,0,1
/// b.jpg,dog               b.jpg,dog,              b.jpg,0,1,0
/// c.jpg,                  c.jpg,,                 c.jpg,0,0,0
///
/// {"a.jpg": ["cat", "grass"], "b.jpg": ["dog"], "c.jpg": []}
/// ```
///
/// - A file whose name ends in `.json` is JSON, any other CSV in UTF-8, with quotes
///   as in RFC 4180. Files named `.tsv` are separated by tabs.
/// - Files are named as seen from the folder. Images that are not listed are ignored.
/// - The first row is a header unless it begins with the name of an image. Without a
///   header, rows may have different numbers of labels.
/// - Columns of only 0 and 1 (or true and false) are one-hot: the header names the
///   labels.
/// - Without [`with_labels`](ImageLabelOptions::with_labels) the labels are all that the
///   file has: in the order of one-hot columns, else sorted by name. A label counts
///   once, however often an image has it. An image without labels is an example too.
#[derive(Clone, Debug)]
#[must_use]
pub struct ImageLabelFolder {
    labels: Labels,
    files: Vec<ImageFile<Vec<usize>>>,
    skipped: Arc<[UnreadableFile]>,
    images: ImageOptions,
}

/// Options for opening images with a file of labels; see
/// [`ImageLabelFolder::options`].
///
/// ```no_run
/// use vgg_surgery::data::ImageLabelFolder;
///
/// // image_name,tags
/// // train_0,haze primary
/// let planet = ImageLabelFolder::options()
///     .delimiter(' ')
///     .suffix(".jpg")
///     .open("planet/train", "planet/labels.csv")?;
/// // fname,labels,is_valid
/// let pascal = ImageLabelFolder::options()
///     .delimiter(' ')
///     .label_columns(["labels"])
///     .open("pascal/train", "pascal/train.csv")?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ImageLabelOptions {
    labels: Option<Labels>,
    columns: Columns,
    suffix: String,
    skip_unreadable: bool,
    images: ImageOptions,
}

impl ImageLabelFolder {
    /// Opens a folder of images with the labels of a CSV or JSON file. Of the images,
    /// only the headers are read.
    ///
    /// # Errors
    /// [`Error::Io`] if the file of labels can't be read; [`DataError::LabelFile`] if
    /// it is not as described above, lists no images or no labels;
    /// [`DataError::RepeatedImage`] if it lists an image twice;
    /// [`DataError::Unreadable`] if images are missing, are no images, or have one
    /// side over 100 times the other.
    pub fn open(folder: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(folder, labels)
    }

    /// Options for opening: known labels, other separators, chosen columns.
    pub fn options() -> ImageLabelOptions {
        ImageLabelOptions::default()
    }

    /// The names of the labels, by index.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    methods_of_files!("in the order of the file of labels");
}

impl ImageLabelOptions {
    /// Sets the labels, in this order. A test set opened with the labels of its
    /// training set has the same indices, even if some labels are missing.
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Sets what separates the columns of a CSV file; a comma by default.
    pub fn separator(mut self, separator: char) -> Self {
        self.columns.separator = Some(separator);
        self
    }

    /// Sets what separates labels within a column; a semicolon by default.
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.columns.delimiter = Some(delimiter);
        self
    }

    /// Sets the column of the file names, by its name in the header; the first by
    /// default.
    pub fn file_column(mut self, name: impl Into<String>) -> Self {
        self.columns.file = Some(name.into());
        self
    }

    /// Sets the columns of the labels, by their names in the header; by default all
    /// but that of the file names.
    pub fn label_columns<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.columns.labels = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether columns are one-hot, 0 or 1 for the label of their name. By
    /// default, two or more columns of only 0 and 1 are.
    pub fn one_hot(mut self, is_one_hot: bool) -> Self {
        self.columns.is_one_hot = Some(is_one_hot);
        self
    }

    /// Adds this to each file name, such as `".jpg"`.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    options_of_files!("ImageLabelFolder");

    /// Opens a folder of images with the labels of a file.
    ///
    /// # Errors
    /// As [`ImageLabelFolder::open`]; with known labels, another one is
    /// [`DataError::UnknownLabel`]; [`DataError::EmptyFolder`] if all images were
    /// skipped.
    pub fn open(
        self,
        folder: impl AsRef<Path>,
        labels: impl AsRef<Path>,
    ) -> Result<ImageLabelFolder> {
        let found = self.find(folder.as_ref(), labels.as_ref(), |_, labels| Ok(labels))?;
        Ok(ImageLabelFolder {
            labels: found.labels,
            files: found.files,
            skipped: found.skipped.into(),
            images: self.images,
        })
    }

    /// Opens a folder of images with the class of each in a file, which has one label
    /// for an image. Unless [`with_labels`](Self::with_labels) sets them, the classes
    /// are all labels of the file, as for [`ImageLabelFolder`]: sorted by name, where
    /// "10" is before "2".
    ///
    /// ```no_run
    /// use vgg_surgery::data::ImageLabelFolder;
    ///
    /// // filename,breed,age
    /// // 7.jpg,siamese,3
    /// let cats = ImageLabelFolder::options()
    ///     .label_columns(["breed"])
    ///     .open_classes("cats", "cats.csv")?;
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open); [`DataError::LabelFile`] also if an image has no or
    /// several labels, or if all images have the same and no labels were set.
    pub fn open_classes(
        mut self,
        folder: impl AsRef<Path>,
        labels: impl AsRef<Path>,
    ) -> Result<ImageFolder> {
        let source = labels.as_ref();
        self.columns.has_classes = true;
        let refuse = |line, reason| {
            let file = source.to_path_buf();
            Error::Data(DataError::LabelFile { file, line, reason })
        };
        let found = self.find(folder.as_ref(), source, |row, labels| match labels[..] {
            [class] => Ok(class),
            _ => {
                let (count, image) = (labels.len(), printable(&row.image));
                let reason = format!("gives {image} {count} labels instead of a class");
                Err(refuse(row.line, reason))
            }
        })?;
        if let (None, 1) = (&self.labels, found.labels.len()) {
            let reason = "gives all images the same class; set the classes with with_labels(..)";
            return Err(refuse(None, reason.to_string()));
        }
        Ok(ImageFolder {
            classes: found.labels,
            files: found.files,
            skipped: found.skipped.into(),
            images: self.images,
        })
    }

    /// The labels, and the usable files with what `target` makes of their labels.
    fn find<T: Sync>(
        &self,
        folder: &Path,
        source: &Path,
        target: impl Fn(&LabeledName, Vec<usize>) -> Result<T>,
    ) -> Result<Found<T>> {
        let of_image = |name: &str| folder.join(format!("{name}{}", self.suffix));
        let is_file = |name: &str| !self.suffix.is_empty() && of_image(name).is_file();
        let table = read_labels(source, &self.columns, is_file)?;
        let labels = self.labels_of(&table, source)?;
        let indices: HashMap<&str, usize> = labels.iter().map(|l| (l.name, l.index)).collect();
        let mut files: Vec<ImageFile<T>> = Vec::with_capacity(table.rows.len());
        let mut seen: HashMap<PathBuf, Option<usize>> = HashMap::new();
        for row in &table.rows {
            let path = of_image(&row.image);
            if let Some(first) = seen.insert(path.clone(), row.line) {
                return Err(Error::Data(DataError::RepeatedImage {
                    file: source.to_path_buf(),
                    image: row.image.clone(),
                    lines: first.zip(row.line),
                }));
            }
            let target = target(row, indices_of(row, &indices, source)?)?;
            files.push(ImageFile { path, target });
        }
        let (files, skipped) = usable(files, self.skip_unreadable, &self.images)?;
        if files.is_empty() {
            return Err(Error::Data(DataError::EmptyFolder {
                folder: folder.to_path_buf(),
            }));
        }
        Ok(Found {
            labels,
            files,
            skipped,
        })
    }

    /// The labels that were set, or all that the file has.
    fn labels_of(&self, table: &LabelTable, source: &Path) -> Result<Labels> {
        let refuse = |reason: String| {
            Err(Error::Data(DataError::LabelFile {
                file: source.to_path_buf(),
                line: None,
                reason,
            }))
        };
        if table.rows.is_empty() {
            return refuse("lists no images".to_string());
        }
        if let Some(labels) = &self.labels {
            let names: Vec<&str> = labels.iter().map(|label| label.name).collect();
            return match repeated(&names) {
                None => Ok(labels.clone()),
                Some(name) => refuse(format!(
                    "can't be read with two labels named \"{name}\"; give each another name"
                )),
            };
        }
        let used = table.rows.iter().flat_map(|row| &row.labels);
        let names: Vec<&String> = match &table.names {
            Some(names) => names.iter().collect(),
            None => used.collect::<BTreeSet<_>>().into_iter().collect(),
        };
        match names.is_empty() {
            true => refuse("gives no image a label".to_string()),
            false => Ok(Labels::new(names)),
        }
    }
}

/// What a folder and a file of labels have together.
struct Found<T> {
    labels: Labels,
    files: Vec<ImageFile<T>>,
    skipped: Vec<UnreadableFile>,
}

/// Ascending, each once.
fn indices_of(
    row: &LabeledName,
    indices: &HashMap<&str, usize>,
    source: &Path,
) -> Result<Vec<usize>> {
    let found = row.labels.iter().map(|label| {
        indices.get(label.as_str()).copied().ok_or_else(|| {
            Error::Data(DataError::UnknownLabel {
                file: source.to_path_buf(),
                image: row.image.clone(),
                label: label.clone(),
                nearest: nearest(label, indices.keys().copied(), 3),
            })
        })
    });
    let found: BTreeSet<usize> = found.collect::<Result<_>>()?;
    Ok(found.into_iter().collect())
}

impl Dataset for ImageLabelFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let file = &self.files[index];
        let mut target = vec![0f32; self.labels.len()];
        for &label in &file.target {
            target[label] = 1.0;
        }
        let target = Tensor::new(target, &Device::Cpu)?;
        Ok(Sample::new(read(&file.path, &self.images)?, target))
    }

    fn classes(&self) -> Option<&Labels> {
        Some(&self.labels)
    }

    fn labels_of(&self, index: usize) -> Option<Vec<usize>> {
        self.files.get(index).map(|file| file.target.clone())
    }

    /// A hash of the file's path, length and modification time, the labels and
    /// the options.
    fn fingerprint(&self, index: usize) -> Option<u64> {
        let file = self.files.get(index)?;
        let count = [self.labels.len()];
        let numbers = count.iter().chain(&file.target);
        file.fingerprint(numbers.map(|&number| number as u64), &self.images)
    }
}
