//! Callbacks: code that runs during a training. Comes in: events at the start,
//! after each batch and epoch, and at the end. Goes out: whether training goes
//! on, checkpoints to write, and the callbacks' state.

mod callback;
mod csv_log;
mod monitored;
mod print_log;
#[cfg(feature = "progress")]
mod training_bar;

pub use callback::{
    BatchEvent, Callback, CallbackState, ControlFlow, EndEvent, EpochEvent, StartEvent,
};
pub use csv_log::CsvLog;
pub use monitored::{Checkpoint, EarlyStopping, TerminateOnNan};
pub use print_log::PrintLog;
#[cfg(feature = "progress")]
pub use training_bar::TrainingBar;
