//! The network as it is run: nodes of a graph and the size of an input come
//! in, a flat list of steps goes out, each of which calls the operators once.
//! A model compiles a program once for what is asked of it, and keeps it.

mod cache;
mod compile;
mod core;
mod liveness;
mod lower;
mod step;

pub(super) use self::core::Given;
pub use self::core::Program;
pub(super) use cache::{Asked, Programs};
pub(super) use compile::{Request, compile};
pub(super) use lower::Lowering;
pub(super) use step::own_activation;
