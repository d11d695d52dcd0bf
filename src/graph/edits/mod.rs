//! The edits that users ask a graph for. In comes a graph, with names of its
//! layers; out goes another graph, made with the verbs of an edit's context.

mod cut;
mod flags;
mod functional;
mod splice;
mod weights;
mod windows;

pub use functional::LayerCall;
