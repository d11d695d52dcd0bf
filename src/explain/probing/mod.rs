//! Which layer's features solve a task. In come a model and labeled images; out
//! comes the accuracy of a linear classifier on each layer.

mod logistic;
mod plot;
mod probe;

pub use probe::{Probe, ProbeReport, ProbeRow};
