//! From an image to the tensor that a network was trained on. In come image
//! files and pixels; out come images of the right size, tensors, and labels for
//! the classes.

mod apply;
#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "image")]
mod ending;
mod geometry;
mod image;
#[cfg(feature = "image")]
mod jpeg;
mod labels;
#[cfg(feature = "image")]
mod options;
mod pipeline;
mod resample;
mod size;
#[cfg(feature = "image")]
mod stored;
mod words;

#[cfg(feature = "image")]
pub(crate) use decode::{open_gray, probe};
pub use geometry::Resize;
pub(crate) use geometry::{Span, View};
pub use image::Image;
pub use labels::{Label, Labels};
#[cfg(feature = "image")]
pub use options::ImageOptions;
pub use pipeline::{ChannelOrder, PixelRange, Preprocessing};
pub use resample::ResizeFilter;
pub(crate) use size::{MEMORY_LIMIT, Size};
#[cfg(feature = "image")]
pub(crate) use stored::open_classes;
