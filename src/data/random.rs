//! Seeds: what is drawn depends on what it is drawn for, never on when.

use rand_chacha::ChaCha8Rng;

use crate::random::keyed;

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
pub(super) fn stream(purpose: Purpose, seed: u64, major: u64, minor: u64) -> ChaCha8Rng {
    keyed([seed, major, minor, purpose as u64])
}

/// A hash of bytes that stays the same on every machine.
pub(super) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    // FNV-1a, 64 bits.
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
