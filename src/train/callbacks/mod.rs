//! Callbacks: code that runs during a training. Comes in: events at the start,
//! after each batch and epoch, and at the end. Goes out: whether training goes
//! on, checkpoints to write, and a state for them.

mod callback;
mod checkpoint_callback;
mod csv_log;
mod events;
mod monitor;
mod stopping;
#[cfg(feature = "progress")]
mod training_bar;

pub use callback::{Callback, CallbackState, ControlFlow};
pub use checkpoint_callback::Checkpoint;
pub use csv_log::CsvLog;
pub use events::{BatchEvent, EndEvent, EpochEvent, StartEvent};
pub use stopping::{EarlyStopping, TerminateOnNan};
#[cfg(feature = "progress")]
pub use training_bar::TrainingBar;
