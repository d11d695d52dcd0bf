//! Instructions that run one after the other on one value, as one operator of
//! candle's: a tensor `(N, C, H, W)` or `(N, F)` goes in, another one comes
//! out, with its gradient if one is wanted. In between, values lie channels
//! last in buffers of the model's workspace.

mod build;
mod run;
mod tape;

pub(crate) use build::{Sequence, SequenceInput};
