//! What is known of a training. Comes in: an evaluation after each epoch, and
//! findings. Goes out: the history that users read, print and save, and the
//! progress that a checkpoint continues from.

mod epoch_record;
mod finding;
mod progress;
mod report;

pub use epoch_record::EpochRecord;
pub use finding::Finding;
pub(super) use progress::{DataSettings, Progress};
#[cfg(feature = "plot")]
pub(super) use report::save;
pub use report::{CacheReport, History, StopReason};
pub(super) use report::{csv_header, csv_line};
