use candle_core::Tensor;
use rand::Rng;
use rayon::prelude::*;

use crate::data::Augmentation;
use crate::error::{Error, ImageError, Result};
use crate::preprocess::{Image, Preprocessing, Resize};
use crate::random::{Stream, keyed, shuffle};

/// The least side of a crop, as a fraction of the image's short side.
const LEAST_SIDE: f64 = 0.4;

/// Every order of red, green and blue.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

pub(crate) struct Lessons<'a> {
    images: &'a [Image],
    preprocessing: Each<Preprocessing>,
    seed: u64,
}

/// What each network takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Each<T> {
    pub(crate) new: T,
    pub(crate) old: T,
}

impl<'a> Lessons<'a> {
    pub(crate) fn new(
        images: &'a [Image],
        preprocessing: Each<Preprocessing>,
        seed: u64,
    ) -> Result<Self> {
        if images.is_empty() {
            return Err(Error::Image(ImageError::EmptyBatch));
        }
        Ok(Self {
            images,
            preprocessing,
            seed,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    /// Number of pixels of one image before preprocessing.
    pub(crate) fn pixels(&self, index: usize) -> usize {
        let image = &self.images[index];
        image.width() * image.height()
    }

    /// One whole image, `(1, C, H, W)` for each network.
    pub(crate) fn whole(&self, index: usize) -> Result<Each<Tensor>> {
        self.for_each(|preprocessing| preprocessing.apply(&self.images[index]))
    }

    fn for_each(&self, apply: impl Fn(&Preprocessing) -> Result<Tensor>) -> Result<Each<Tensor>> {
        let Each { new, old } = &self.preprocessing;
        let x = apply(new)?;
        Ok(Each {
            old: if new == old { x.clone() } else { apply(old)? },
            new: x,
        })
    }

    /// `count` crops from number `start` on: squares of 0.4 to 1 of the short
    /// side, flipped or not. In the fraction `exchanged` of them red, green and
    /// blue are in any order. Each image is used once before any is used again.
    /// Where images are not resized, the crops of one call have one size.
    pub(crate) fn crops(&self, start: u64, count: usize, exchanged: f64) -> Result<Each<Tensor>> {
        let numbers: Vec<u64> = (start..).take(count).collect();
        let Each { new, old } = &self.preprocessing;
        let keeps_sizes = [new, old]
            .map(Preprocessing::resize)
            .contains(&Resize::None);
        let shared = keeps_sizes.then(|| self.shared_side(&numbers)).flatten();
        let crops = numbers
            .par_iter()
            .map(|&number| self.crop(number, exchanged, shared));
        let crops = crops.collect::<Result<Vec<Crop>>>()?;
        let flip = Augmentation::new().flip(0.5);
        self.for_each(|preprocessing| {
            let crops = crops.par_iter();
            let crops = crops.map(|crop| flip.apply(&crop.image, preprocessing, crop.seed));
            let crops = crops.collect::<Result<Vec<Image>>>()?;
            preprocessing.clone().without_resize().apply_batch(&crops)
        })
    }

    /// A side that fits into the images of all these crops.
    fn shared_side(&self, numbers: &[u64]) -> Option<usize> {
        let turns = numbers.iter().map(|&number| self.turn(number));
        let short = turns.map(|turn| short_side(&self.images[turn])).min()?;
        Some(random_side(
            short,
            &mut stream(self.seed, 3, *numbers.first()?),
        ))
    }

    fn crop(&self, number: u64, exchanged: f64, shared: Option<usize>) -> Result<Crop> {
        let image = &self.images[self.turn(number)];
        let mut rng = stream(self.seed, 1, number);
        let own = random_side(short_side(image), &mut rng);
        let side = shared.unwrap_or(own);
        let mut offset = |length: usize| rng.random_range(0..=(length - side) as u64) as usize;
        let (x, y) = (offset(image.width()), offset(image.height()));
        let crop = image.crop(x, y, side, side)?;
        let crop = if rng.random::<f64>() < exchanged {
            in_order(&crop, ORDERS[rng.random_range(0..ORDERS.len())])?
        } else {
            crop
        };
        Ok(Crop {
            image: crop,
            seed: rng.random(),
        })
    }

    /// The index of the image of a crop; each round has another order.
    fn turn(&self, number: u64) -> usize {
        let count = self.images.len() as u64;
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        let mut rng = stream(self.seed, 2, number / count);
        shuffle(&mut order, &mut rng);
        // Below the number of images, which is a usize.
        order[(number % count) as usize]
    }
}

struct Crop {
    image: Image,
    /// Of its flip.
    seed: u64,
}

fn short_side(image: &Image) -> usize {
    image.width().min(image.height())
}

fn random_side(short: usize, rng: &mut Stream) -> usize {
    let fraction = LEAST_SIDE + (1.0 - LEAST_SIDE) * rng.random::<f64>();
    // At most the short side, which is a usize.
    ((short as f64 * fraction).round() as usize).clamp(1, short)
}

fn in_order(image: &Image, order: [usize; 3]) -> Result<Image> {
    let pixels = image.as_rgb8().chunks_exact(3);
    let bytes: Vec<u8> = pixels
        .flat_map(|pixel| order.map(|color| pixel[color]))
        .collect();
    Image::from_rgb8(image.width(), image.height(), bytes)
}

fn stream(seed: u64, purpose: u64, index: u64) -> Stream {
    keyed([seed, purpose, index, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_reordered_and_nothing_else_changes() {
        let image = Image::from_rgb8(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let turned = in_order(&image, [2, 0, 1]).unwrap();
        assert_eq!(turned.as_rgb8(), [3, 1, 2, 6, 4, 5]);
        assert_eq!(in_order(&image, ORDERS[0]).unwrap(), image);
    }

    fn same() -> Each<Preprocessing> {
        Each {
            new: Preprocessing::new(),
            old: Preprocessing::new(),
        }
    }

    #[test]
    fn every_image_has_its_turn_in_each_round() {
        let images: Vec<Image> = (0..5)
            .map(|_| Image::from_rgb8(2, 2, vec![0; 12]).unwrap())
            .collect();
        let lessons = Lessons::new(&images, same(), 3).unwrap();
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
