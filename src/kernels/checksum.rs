//! Whether numbers have changed.

use rayon::prelude::*;

/// Numbers of a piece; pieces are summed up on their own.
const PIECE: usize = 64 * 1024;

/// Words summed up side by side, as vectors hold them.
const LANES: usize = 8;

/// An odd number with bits all over, the golden ratio's.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A checksum of 64 bits over the bits of all numbers and their places: other
/// numbers give another one, but for a chance of about 2^-64.
pub fn checksum(numbers: &[f32]) -> u64 {
    let pieces: Vec<u64> = numbers.par_chunks(PIECE).map(of_piece).collect();
    pieces
        .iter()
        .fold(numbers.len() as u64, |sum, &piece| mix(sum, piece))
}

/// Each word, made another one by its place, is multiplied half by half, as
/// XXH3 does: a product of 64 bits that vectors of every CPU can form.
fn of_piece(numbers: &[f32]) -> u64 {
    let mut lanes = [0u64; LANES];
    let mut places: [u64; LANES] = std::array::from_fn(|lane| FACTOR.wrapping_mul(lane as u64 + 1));
    let mut rows = numbers.chunks_exact(2 * LANES);
    for row in &mut rows {
        for ((lane, place), pair) in lanes.iter_mut().zip(&mut places).zip(row.chunks_exact(2)) {
            let word = u64::from(pair[0].to_bits()) | u64::from(pair[1].to_bits()) << 32;
            let placed = word ^ *place;
            let product = (placed & 0xFFFF_FFFF) * (placed >> 32);
            *lane = lane
                .wrapping_add(product)
                .wrapping_add(word.rotate_left(32));
            *place = place.wrapping_add(FACTOR);
        }
    }
    let rest = rows.remainder().iter();
    let sum = rest.fold(0, |sum, number| mix(sum, u64::from(number.to_bits())));
    lanes.iter().fold(sum, |sum, &lane| mix(sum, lane))
}

#[inline(always)]
fn mix(sum: u64, word: u64) -> u64 {
    let product = (sum ^ word).wrapping_mul(FACTOR);
    product ^ product >> 29
}
