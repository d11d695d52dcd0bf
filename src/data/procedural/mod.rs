//! Images that are computed. In come motifs, a size and a seed; out come
//! textures and shapes of known classes, without a file.

mod dataset;
mod field;
mod motif;
mod paint;
mod shape;
mod texture;

pub use dataset::ProceduralDataset;
pub use motif::Motif;
