//! Computed images. In come motifs, a size and a seed; out come images of
//! textures and shapes, with their classes.

mod dataset;
mod field;
mod motif;
mod paint;
mod shape;
mod texture;

pub use dataset::ProceduralDataset;
pub use motif::Motif;
