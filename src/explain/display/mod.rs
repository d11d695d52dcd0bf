//! Shows numbers as images. In come heat maps and images; out come colored
//! images, overlays and sheets of several images.

mod color;
mod heatmap;
mod sheet;

pub use color::ColorMap;
pub use heatmap::Heatmap;
pub use sheet::Sheet;
