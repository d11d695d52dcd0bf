//! From an image to the tensor that a network was trained on. In come image
//! files and pixels; out come images of the right size, tensors, and labels for
//! the classes.

mod apply;
#[cfg(feature = "image")]
mod decode;
mod geometry;
mod image;
mod labels;
mod pipeline;
mod resample;
mod size;
mod words;

#[cfg(feature = "image")]
pub(crate) use decode::{open_gray, probe};
pub use geometry::Resize;
pub(crate) use geometry::{Span, View};
pub use image::Image;
pub use labels::{Label, Labels};
pub use pipeline::{ChannelOrder, PixelRange, Preprocessing};
pub use resample::ResizeFilter;
pub(crate) use size::Size;
