//! From a picture to the tensor a network was trained on.

mod apply;
#[cfg(feature = "image")]
mod decode;
mod geometry;
mod labels;
mod picture;
mod pipeline;
mod resample;

pub use geometry::{Filter, Resize};
pub use labels::{Label, Labels};
pub use picture::Picture;
pub use pipeline::{ChannelOrder, PixelRange, Preprocessing};
