//! The network as it is run: nodes of a graph and the size of an input come
//! in, a flat list of steps goes out, each of which calls the operators once.
//! A model compiles a program once for each request, and keeps it.

mod cache;
mod compile;
mod core;
mod liveness;
mod lower;
mod step;

pub use self::core::Program;
pub(super) use cache::{Programs, Request};
pub(super) use compile::compile;
pub(super) use lower::Lowering;
