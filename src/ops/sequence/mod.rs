//! Chains of instructions that are one operator to candle. A tensor `(N, C, H, W)`
//! or `(N, F)` comes in; another one goes out, with its gradient if one is needed.
//! In between, values are in the model's buffers, channels last.

mod build;
mod run;
mod tape;

pub(crate) use build::{Sequence, SequenceInput};
