//! Every kernel of this CPU against nested loops in double precision.

mod checksum;
mod conv;
mod dense;
mod filters;
mod geometry;
mod oracle;
mod pool;
mod properties;
mod simple;
mod stack;
mod threads;
mod winograd;

use super::Kernel;

/// Numbers from -1 to 1 (xorshift64).
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The largest difference, relative to the largest expected magnitude.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected
        .iter()
        .fold(f64::MIN_POSITIVE, |all, value| all.max(value.abs()));
    let pairs = actual.iter().zip(expected);
    let differences = pairs.map(|(&actual, &expected)| (f64::from(actual) - expected).abs());
    // `max` drops a NaN, which must not pass.
    differences.fold(0.0, |all: f64, value| {
        if value > all || value.is_nan() {
            value
        } else {
            all
        }
    }) / largest
}

fn kernels() -> Vec<Kernel> {
    Kernel::available().collect()
}
