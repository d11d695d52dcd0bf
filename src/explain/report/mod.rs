//! Shows a model on one page. In come a model, images and measurements; out
//! comes one HTML file that needs no other file.

mod drawing;
mod page;

pub use page::Report;
