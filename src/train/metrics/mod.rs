//! Metrics: what is measured besides the loss. Comes in: batch by batch, the
//! scores with their targets and the loss. Goes out: an evaluation of the whole
//! data set.

mod confusion;
mod evaluation;
mod labels;
mod metric;
mod predictions;

pub use confusion::ConfusionMatrix;
pub use evaluation::{Evaluation, MetricValue};
pub(super) use evaluation::{Tally, null_as_nan};
pub(super) use metric::check_metrics;
pub use metric::{CustomMetric, Metric};
pub(super) use predictions::Scores;
