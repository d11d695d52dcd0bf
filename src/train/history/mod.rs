//! What is known about a training. Comes in: an evaluation after each epoch, and
//! findings. Goes out: the history that users read, print, plot and save, and
//! the progress that a checkpoint continues from.

mod divergence;
mod finding;
mod plot;
mod progress;
mod report;

pub(super) use divergence::Baseline;
pub use finding::Finding;
pub(super) use progress::{DataSettings, Progress};
pub use report::{CacheReport, EpochRecord, History, StopReason};
pub(super) use report::{csv_header, csv_line, should_fall};
