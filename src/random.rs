//! Random numbers. In comes a seed. Out go numbers that are the same on every
//! machine. Functions that machines round differently are taken from `libm`, here
//! and wherever a random number is used.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of random numbers.
pub(crate) type Stream = ChaCha8Rng;

/// FNV-1a, a hash of 64 bits that is the same on every machine.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The random numbers for these four words, for example a seed, a purpose and a
/// position.
pub(crate) fn keyed(words: [u64; 4]) -> Stream {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// The random numbers of a seed for one turn, for example for one epoch.
pub(crate) fn stream(seed: u64, turn: u64) -> Stream {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(turn);
    rng
}

/// Fisher and Yates' shuffle.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        let other = rng.random_range(0..=last as u64);
        // At most `last`, which is a usize.
        items.swap(last, other as usize);
    }
}

/// Two numbers from the standard normal distribution, by the Box-Muller
/// transform.
pub(crate) fn normal_pair(rng: &mut impl Rng) -> (f64, f64) {
    let radius = (-2.0 * libm::log(1.0 - rng.random::<f64>())).sqrt();
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * rng.random::<f64>());
    (radius * cos, radius * sin)
}

/// `count` numbers from the normal distribution with mean 0 and standard deviation
/// `std`.
pub(crate) fn normal(rng: &mut impl Rng, count: usize, std: f64) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let (first, second) = normal_pair(rng);
        numbers.push((first * std) as f32);
        if numbers.len() < count {
            numbers.push((second * std) as f32);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_key_and_turns_are_streams() {
        let mut key = [0; 32];
        (key[0], key[8], key[16], key[24]) = (7, 1, 2, 3);
        assert_eq!(keyed([7, 1, 2, 3]), ChaCha8Rng::from_seed(key));
        assert_eq!(stream(7, 0), ChaCha8Rng::seed_from_u64(7));
        let turns = [stream(7, 1).random::<u64>(), stream(7, 2).random()];
        assert_ne!(turns[0], turns[1]);
    }

    #[test]
    fn a_shuffle_keeps_what_it_orders() {
        let mut items: Vec<usize> = (0..50).collect();
        shuffle(&mut items, &mut stream(1, 0));
        assert_ne!(items, Vec::from_iter(0..50));
        items.sort_unstable();
        assert_eq!(items, Vec::from_iter(0..50));
    }

    #[test]
    fn normal_numbers_have_their_mean_and_deviation() {
        let numbers = normal(&mut stream(1, 0), 40_001, 3.0);
        assert_eq!(numbers[..7], normal(&mut stream(1, 0), 7, 3.0));
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|&n| f64::from(n)).sum::<f64>() / count;
        let squares = numbers.iter().map(|&n| f64::from(n).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        // Five deviations of the mean, and of the deviation, over 40,001.
        assert!(mean.abs() < 5.0 * 3.0 / count.sqrt(), "{mean}");
        let spread = 5.0 * 3.0 / (2.0 * count).sqrt();
        assert!((deviation - 3.0).abs() < spread, "{deviation}");
    }
}
