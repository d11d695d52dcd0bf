//! A checksum that shows whether the values of a slice have changed.

use rayon::prelude::*;

/// Values in a piece. Pieces are hashed in parallel.
const PIECE: usize = 64 * 1024;

/// Hashes computed side by side: their multiplications overlap.
const LANES: usize = 8;

/// An odd multiplier with random-looking bits: 2^64 over the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A 64-bit checksum of the numbers and their positions. Two different slices
/// have the same checksum with a probability of about 2^-64.
pub fn checksum(numbers: &[f32]) -> u64 {
    let pieces: Vec<u64> = numbers.par_chunks(PIECE).map(of_piece).collect();
    pieces
        .iter()
        .fold(numbers.len() as u64, |sum, &piece| mix(sum, piece))
}

fn of_piece(numbers: &[f32]) -> u64 {
    let mut lanes: [u64; LANES] = std::array::from_fn(|lane| lane as u64);
    let (rows, rest) = numbers.as_chunks::<{ 2 * LANES }>();
    for row in rows {
        for (index, lane) in lanes.iter_mut().enumerate() {
            let [low, high] = [row[2 * index], row[2 * index + 1]].map(f32::to_bits);
            *lane = mix(*lane, u64::from(high) << 32 | u64::from(low));
        }
    }
    let rest = rest.iter();
    let sum = rest.fold(0, |sum, number| mix(sum, u64::from(number.to_bits())));
    lanes.iter().fold(sum, |sum, &lane| mix(sum, lane))
}

#[inline(always)]
fn mix(sum: u64, word: u64) -> u64 {
    let product = (sum ^ word).wrapping_mul(FACTOR);
    product ^ product >> 29
}
