use candle_core::Tensor;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::Augmentation;
use crate::error::{Error, PictureError, Result};
use crate::preprocess::{Picture, Preprocessing};

/// The least side of a crop, as a share of the picture's short side.
const LEAST_SIDE: f64 = 0.4;

/// Pictures to learn from.
pub(super) struct Lessons<'a> {
    pictures: &'a [Picture],
    preprocessing: Preprocessing,
    seed: u64,
}

impl<'a> Lessons<'a> {
    pub(super) fn new(
        pictures: &'a [Picture],
        preprocessing: Preprocessing,
        seed: u64,
    ) -> Result<Self> {
        if pictures.is_empty() {
            return Err(Error::Picture(PictureError::EmptyBatch));
        }
        Ok(Self {
            pictures,
            preprocessing,
            seed,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// One whole picture, `(1, 3, H, W)`.
    pub(super) fn whole(&self, index: usize) -> Result<Tensor> {
        self.preprocessing.apply(&self.pictures[index])
    }

    /// The next crops, from the `start`th on: squares of 0.4 to 1 of the short
    /// side, flipped or not. All pictures have their turn before one has
    /// another.
    pub(super) fn crops(&self, start: u64, count: usize) -> Result<Tensor> {
        let numbers: Vec<u64> = (start..).take(count).collect();
        let crops = numbers.par_iter().map(|&number| self.crop(number));
        let crops = crops.collect::<Result<Vec<Picture>>>()?;
        self.preprocessing
            .clone()
            .without_resize()
            .apply_batch(&crops)
    }

    fn crop(&self, number: u64) -> Result<Picture> {
        let picture = &self.pictures[self.turn(number)];
        let mut rng = stream(self.seed, 1, number);
        let short = picture.width().min(picture.height());
        let share = LEAST_SIDE + (1.0 - LEAST_SIDE) * rng.random::<f64>();
        // At most the short side, which is a usize.
        let side = ((short as f64 * share).round() as usize).clamp(1, short);
        let mut place = |length: usize| rng.random_range(0..=(length - side) as u64) as usize;
        let (x, y) = (place(picture.width()), place(picture.height()));
        let crop = picture.crop(x, y, side, side)?;
        let flip = Augmentation::new().flip(0.5);
        flip.apply(&crop, &self.preprocessing, rng.random())
    }

    /// Whose turn it is: each round has an order of its own.
    fn turn(&self, number: u64) -> usize {
        let count = self.pictures.len() as u64;
        let mut order: Vec<usize> = (0..self.pictures.len()).collect();
        let mut rng = stream(self.seed, 2, number / count);
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last as u64) as usize);
        }
        // Below the number of pictures, which is a usize.
        order[(number % count) as usize]
    }
}

/// Random numbers of one seed for one purpose at one place.
fn stream(seed: u64, purpose: u64, place: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, purpose, place];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_has_its_turn_in_each_round() {
        let pictures: Vec<Picture> = (0..5)
            .map(|_| Picture::from_rgb8(2, 2, vec![0; 12]).unwrap())
            .collect();
        let lessons = Lessons::new(&pictures, Preprocessing::new(), 3).unwrap();
        let rounds: Vec<Vec<usize>> = (0..4)
            .map(|round| (0..5).map(|n| lessons.turn(5 * round + n)).collect())
            .collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(rounds.iter().any(|round| *round != rounds[0]));
    }
}
