//! A model on one page. In come a model and what to show of it; out comes an
//! HTML file with everything inside.

mod drawing;
mod page;

pub use page::Report;
