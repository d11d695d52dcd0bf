//! Brightness, contrast and saturation, byte for byte as Pillow 13.0's
//! `ImageEnhance`; noise; erasing.

use rand::Rng;

use crate::random::normal_pair;

use super::draw::Part;

/// A change of torchvision's `ColorJitter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Brightness,
    Contrast,
    Saturation,
}

impl Change {
    /// Blends RGB bytes with the result of the change at a factor of 0.
    pub(super) fn apply(self, bytes: &mut [u8], factor: f64) {
        let factor = factor as f32;
        let pixels = bytes.chunks_exact_mut(3);
        match self {
            Self::Brightness => pixels.for_each(|pixel| blend(pixel, 0, factor)),
            Self::Contrast => {
                let count = pixels.len() as f64;
                let sum: u64 = pixels.map(|pixel| u64::from(gray(pixel))).sum();
                // The mean of bytes fits a byte.
                let mean = (sum as f64 / count + 0.5) as u8;
                let pixels = bytes.chunks_exact_mut(3);
                pixels.for_each(|pixel| blend(pixel, mean, factor));
            }
            Self::Saturation => pixels.for_each(|pixel| blend(pixel, gray(pixel), factor)),
        }
    }
}

/// Pillow's `L` of an RGB pixel: ITU-R 601-2 luma in 16-bit fixed point.
fn gray(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    let luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    // The weights add up to 2^16.
    luma as u8
}

/// Pillow's `Image.blend` of a gray with a pixel, which truncates.
fn blend(pixel: &mut [u8], gray: u8, factor: f32) {
    for value in pixel {
        let (from, to) = (f32::from(gray), f32::from(*value));
        *value = (from + factor * (to - from)).clamp(0.0, 255.0) as u8;
    }
}

/// Adds normal noise of this standard deviation, in levels, and clips.
pub(super) fn add_noise(bytes: &mut [u8], deviation: f64, rng: &mut impl Rng) {
    for pair in bytes.chunks_mut(2) {
        let (first, second) = normal_pair(rng);
        for (value, noise) in pair.iter_mut().zip([first, second]) {
            let noisy = f64::from(*value) + noise * deviation;
            *value = noisy.round().clamp(0.0, 255.0) as u8;
        }
    }
}

pub(super) fn paint(bytes: &mut [u8], width: usize, part: &Part, color: [u8; 3]) {
    let rows = bytes.chunks_exact_mut(3 * width);
    for row in rows.skip(part.y).take(part.height) {
        for pixel in row[3 * part.x..][..3 * part.width].chunks_exact_mut(3) {
            pixel.copy_from_slice(&color);
        }
    }
}
