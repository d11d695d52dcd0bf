//! Seeds: what is drawn depends on what it is drawn for, never on when.

use crate::random::{Stream, keyed};

/// What random numbers are drawn for; each has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Order = 1,
    Augmentation = 2,
    Mixing = 3,
    Selection = 4,
    Synthesis = 5,
}

/// Random numbers for one purpose, of one seed, at one place in two numbers.
pub(super) fn stream(purpose: Purpose, seed: u64, major: u64, minor: u64) -> Stream {
    keyed([seed, major, minor, purpose as u64])
}
