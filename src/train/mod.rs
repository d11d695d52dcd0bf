//! Training: a model learns from a data set.

#[cfg(feature = "progress")]
mod bar;
mod cache;
mod callback;
mod callbacks;
mod check;
mod checkpoint;
mod confusion;
mod exact;
mod finder;
mod finding;
mod fit;
mod formula;
mod goal;
mod group;
mod history;
#[cfg(feature = "ctrlc")]
mod interrupt;
mod known;
mod learner;
mod loss;
mod metrics;
mod net;
mod number;
#[cfg(feature = "plot")]
mod plot;
mod prefix;
mod prepared;
mod run;
mod schedule;
mod scores;
mod settings;
mod snapshot;
mod trainer;

#[cfg(feature = "progress")]
pub use bar::TrainingBar;
pub use cache::FeatureCache;
pub use callback::{BatchEvent, Callback, CallbackState, EndEvent, EpochEvent, Flow, StartEvent};
pub use callbacks::{Checkpoint, CsvLog, EarlyStopping, TerminateOnNan};
pub use confusion::ConfusionMatrix;
pub use finder::RateSearch;
pub use finding::Finding;
pub use group::ParameterGroup;
pub use history::{CacheReport, Ended, EpochRecord, History};
pub use loss::Loss;
pub use metrics::{CustomMetric, Evaluation, Measured, Metric};
pub use schedule::Schedule;
pub use trainer::Trainer;

pub(crate) use known::with_gradient;
