//! A replaced layer learns from the network it was put into.

mod blocks;
mod compose;
mod distill;
mod healing;
mod least_squares;
mod lessons;
mod normal;
mod product;
mod report;
mod run;
mod seam;

pub use healing::{Healing, HealingMethod};
pub use report::HealReport;
