//! A replaced layer learns from the network it was put into. In come the edited
//! model, the one from before the edit, and unlabeled images. Out go the layer's
//! new parameters, set in the model, and a report of how near both networks are.

mod blocks;
mod compose;
mod course;
mod distill;
mod healing;
mod least_squares;
mod lessons;
mod normal;
mod product;
mod progress;
mod report;
mod run;
mod seam;

pub(crate) use course::{Course, Pair, Target};
pub use healing::{Healing, HealingMethod};
pub(crate) use lessons::{Each, Lessons};
pub(crate) use progress::Progress;
pub use progress::{HealEvent, HealPhase};
pub use report::HealReport;
