//! Data sets of image files. In come folders; out come images with the class of
//! their subfolder, or with a mask.

mod classes;
mod files;
mod masks;

pub use classes::{ImageFolder, ImageFolderOptions};
pub use masks::ImageMaskFolder;
