//! Data sets of image files. In come folders; out come images with the class of
//! their subfolder, with labels from a file, or with a mask.

mod classes;
mod csv;
mod files;
mod label_file;
mod labels;
mod masks;

pub use classes::{ImageFolder, ImageFolderOptions};
pub use labels::{ImageLabelFolder, ImageLabelOptions};
pub use masks::ImageMaskFolder;
