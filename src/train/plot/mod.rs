//! The curves of a history as an image. Comes in: a history. Goes out: SVG text
//! or a PNG file.

mod chart;
mod font;
mod raster;
mod save;
mod scale;
mod svg;
