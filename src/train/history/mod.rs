//! What is known of a training. Comes in: an evaluation after each epoch, and
//! findings. Goes out: the history that users read, print and save, and the
//! progress that a checkpoint continues from.

mod cache_report;
mod csv;
mod epoch_record;
mod finding;
mod progress;
mod report;
mod table;

pub use cache_report::CacheReport;
pub(super) use csv::{csv_header, csv_line};
pub use epoch_record::EpochRecord;
pub use finding::Finding;
pub(super) use progress::{DataSettings, Progress};
pub use report::{Ended, History};
