//! Training: a model learns from a data set. Comes in: a model, data, and
//! settings. Goes out: the model's new weights, a history, and checkpoints that
//! training can be resumed from.

mod cache;
mod callbacks;
mod checkpoint;
mod checks;
#[cfg(feature = "ctrlc")]
mod ctrl_c;
mod fit;
mod history;
mod loss;
mod metrics;
mod settings;
mod snapshot;
mod trainer;

pub use cache::FeatureCache;
#[cfg(feature = "progress")]
pub use callbacks::TrainingBar;
pub use callbacks::{
    BatchEvent, Callback, CallbackState, Checkpoint, ControlFlow, CsvLog, EarlyStopping, EndEvent,
    EpochEvent, PrintLog, StartEvent, TerminateOnNan,
};
pub use fit::RateSearch;
pub use history::{CacheReport, EpochRecord, Finding, History, StopReason};
pub use loss::Loss;
pub(crate) use loss::with_gradient;
pub use metrics::{ConfusionMatrix, CustomMetric, Evaluation, Metric, MetricValue};
pub use settings::{ParameterGroup, Schedule};
pub use trainer::Trainer;
