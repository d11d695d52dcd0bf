//! Random numbers that depend on their seed and purpose, not on the order of
//! the calls.

use crate::random::{Stream, keyed};

/// The purpose of random numbers. Each has its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Order = 1,
    Augmentation = 2,
    Mixing = 3,
    Selection = 4,
    Synthesis = 5,
}

/// The random numbers for a purpose and a seed, at a position of two numbers.
pub(super) fn stream(purpose: Purpose, seed: u64, major: u64, minor: u64) -> Stream {
    keyed([seed, major, minor, purpose as u64])
}
