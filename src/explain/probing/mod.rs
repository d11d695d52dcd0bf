//! Which layer's features a task needs. In come a model and labeled images; out
//! comes a report of how well a linear classifier does on each layer.

mod logistic;
mod plot;
mod probe;

pub use probe::{Probe, ProbeReport, ProbeRow};
