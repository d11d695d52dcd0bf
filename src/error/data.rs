use std::error::Error;
use std::path::PathBuf;

use super::words::{did_you_mean, printable, shown};

/// What can be wrong with the examples that a network learns from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A data set without examples.
    #[error("the data set is empty; give it at least one example")]
    Empty,
    /// An index that is not below the number of examples.
    #[error("example {index} was asked for, but the data set has {len}")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// Number of examples.
        len: usize,
    },
    /// The numbers of inputs and of targets differ.
    #[error("{inputs} inputs can't have {targets} {what}; give one for each")]
    Count {
        /// Number of inputs.
        inputs: usize,
        /// What differs in number, such as "targets".
        what: &'static str,
        /// The number of targets.
        targets: usize,
    },
    /// An example's tensor and the first of its batch differ in shape.
    #[error("the {what} of example {index} is {actual:?}, but the batch's first is {expected:?}")]
    Shapes {
        /// The example.
        index: usize,
        /// "input" or "target".
        what: &'static str,
        /// Shape of the first example.
        expected: Vec<usize>,
        /// Shape of this example.
        actual: Vec<usize>,
    },
    /// The examples of one batch have targets of several kinds.
    #[error("the target of example {index} is {actual}, but the batch's first is {expected}")]
    MixedTargets {
        /// The example.
        index: usize,
        /// The kind of the first target, in words.
        expected: &'static str,
        /// The kind of this target, in words.
        actual: &'static str,
    },
    /// A custom loss or metric takes targets of another kind.
    #[error("the targets are {actual}, but {expected} are needed; use another data set or loss")]
    TargetKind {
        /// The kind that is needed, in words.
        expected: &'static str,
        /// The kind of the targets, in words.
        actual: &'static str,
    },
    /// The code of a data set panicked.
    #[error("the data set panicked at example {index}: {message}")]
    Panicked {
        /// The example.
        index: usize,
        /// The message of the panic.
        message: String,
    },
    /// A value that is NaN or infinite.
    #[error("the {what} of example {index} holds a value that is NaN or infinite")]
    NonFinite {
        /// The example.
        index: usize,
        /// "input", "target" or "weight".
        what: &'static str,
    },
    /// Examples are chosen by class, but the targets are not classes.
    #[error("the targets are not classes; choose examples by their indices with subset()")]
    NoClasses,
    /// A class with fewer examples than asked for.
    #[error("class \"{class}\" has {found} examples, but {wanted} were asked for")]
    TooFewExamples {
        /// The class: its name, or its index if it has none.
        class: String,
        /// Number of examples asked for.
        wanted: usize,
        /// Number of examples found.
        found: usize,
    },
    /// A folder without a sub-folder for each class.
    #[error(
        "{} has {images} images but no sub-folders; put the images of each class into a \
         sub-folder with its name",
        shown(folder)
    )]
    NoClassFolders {
        /// The folder.
        folder: PathBuf,
        /// Number of images in it.
        images: usize,
    },
    /// A folder with a single class.
    #[error(
        "{} has one class, \"{class}\"; give it a sub-folder for each class, or open a folder \
         below",
        shown(folder)
    )]
    OneClass {
        /// The folder.
        folder: PathBuf,
        /// Its class.
        class: String,
    },
    /// A folder without an image.
    #[error("folder {} has no usable image (PNG, JPEG or WebP)", shown(folder))]
    EmptyFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// An image of a folder that does not have one mask.
    #[error(
        "{} has {masks} masks in {}; give it one file with its name, whatever the ending",
        shown(image),
        shown(folder)
    )]
    MaskCount {
        /// The image.
        image: PathBuf,
        /// The folder of the masks.
        folder: PathBuf,
        /// Number of files with the image's name.
        masks: usize,
    },
    /// A mask that does not have the size of its image.
    #[error("the mask of {image} is {mask:?} (height, width), but the image is {expected:?}")]
    MaskSize {
        /// The image: its file or its index.
        image: String,
        /// Height and width of the image.
        expected: (usize, usize),
        /// Height and width of the mask.
        mask: (usize, usize),
    },
    /// A class folder whose name is not one of the given classes.
    #[error("{} is not one of the {classes} given classes", shown(folder))]
    UnknownClass {
        /// The class folder.
        folder: PathBuf,
        /// Number of classes given.
        classes: usize,
    },
    /// Names of labels that are more or fewer than the labels.
    #[error("{names} names can't name {labels} labels; give one for each")]
    LabelNames {
        /// Number of labels.
        labels: usize,
        /// Number of names.
        names: usize,
    },
    /// A file of labels that can't be used.
    #[error("{}{} {reason}", shown(file), at_line(*line))]
    LabelFile {
        /// The file.
        file: PathBuf,
        /// The line, from 1, if it is about one.
        line: Option<usize>,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A label of an image that is not one of the given labels.
    #[error(
        "{} gives {} the label \"{label}\", which is not one of the given labels{}",
        shown(file),
        printable(image),
        did_you_mean(nearest)
    )]
    UnknownLabel {
        /// The file of labels.
        file: PathBuf,
        /// The image, as the file names it.
        image: String,
        /// The label.
        label: String,
        /// The most similar labels, best first.
        nearest: Vec<String>,
    },
    /// A file of labels that lists an image twice.
    #[error(
        "{} lists {} twice{}; put all its labels into one row",
        shown(file),
        printable(image),
        lines.map_or_else(String::new, |(one, two)| format!(", in lines {one} and {two}"))
    )]
    RepeatedImage {
        /// The file of labels.
        file: PathBuf,
        /// The image, as the file names it.
        image: String,
        /// Both lines, from 1, if the file has lines.
        lines: Option<(usize, usize)>,
    },
    /// An image of a folder can't be used.
    #[error("{}: {reason}", shown(file))]
    Image {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: Box<dyn Error + Send + Sync>,
    },
    /// Images of a folder can't be used.
    #[error(
        "{} of {total} images can't be used; remove them, or open the folder with \
         skip_unreadable(): {}",
        files.len(),
        first(files)
    )]
    Unreadable {
        /// Each of them, with the reason.
        files: Vec<UnreadableFile>,
        /// Number of images in the folder.
        total: usize,
    },
}

/// An image file that can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// Why, an [`Error`](enum@crate::Error) of this crate; the message names
    /// the file.
    pub reason: Box<dyn Error + Send + Sync>,
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(|| ":".to_string(), |line| format!(", line {line}:"))
}

fn first(files: &[UnreadableFile]) -> String {
    const SHOWN: usize = 3;
    let reasons = files.iter().take(SHOWN).map(|file| file.reason.to_string());
    let more = if files.len() > SHOWN { "; .." } else { "" };
    reasons.collect::<Vec<_>>().join("; ") + more
}
