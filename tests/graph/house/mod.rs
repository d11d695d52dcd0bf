//! The rules of the house, read off the source: which file may import what, how
//! long files and functions are, where `unsafe` and panics are allowed.

mod architecture;
mod circles;
mod floors;
mod imports;
mod lengths;
mod rust_text;
mod safety;
mod sources;
