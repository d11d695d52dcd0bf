//! From an image to the tensor that a network was trained on. In come image
//! files and pixels; out come images of the right size, tensors, and labels for
//! the classes.

mod apply;
#[cfg(feature = "image")]
mod decode;
mod geometry;
mod labels;
mod picture;
mod pipeline;
mod resample;
mod size;
mod words;

#[cfg(feature = "image")]
pub(crate) use decode::probe;
pub use geometry::Resize;
pub use labels::{Label, Labels};
pub use picture::Picture;
pub use pipeline::{ChannelOrder, PixelRange, Preprocessing};
pub use resample::Filter;
pub(crate) use size::pixels;
