//! From a picture to the tensor a network was trained on.

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
