//! Compiled forward passes. In come a graph and the size of an input; out goes
//! a flat list of steps, each of which calls the operators once. A model
//! compiles a program once for each request, and caches it.

mod cache;
mod compile;
mod core;
mod lower;
mod room;
mod step;

pub use self::core::Program;
pub(super) use cache::{Programs, Request};
pub(super) use compile::compile;
