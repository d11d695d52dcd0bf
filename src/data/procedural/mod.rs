//! Pictures that are computed: textures and shapes of known classes.

mod dataset;
mod field;
mod motif;
mod paint;
mod shape;
mod texture;

pub use dataset::ProceduralDataset;
pub use motif::Motif;
