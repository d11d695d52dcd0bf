//! Random numbers for one image, as in torchvision 0.29.

use std::ops::RangeInclusive;

use rand::Rng;

use crate::preprocess::Size;
use crate::random::normal_pair;

/// The number of tries before a crop or an erased part falls back.
const TRIES: usize = 10;

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Part {
    pub(super) fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }
}

pub(super) fn uniform(range: &RangeInclusive<f64>, rng: &mut impl Rng) -> f64 {
    let (start, end) = (*range.start(), *range.end());
    start + (end - start) * rng.random::<f64>()
}

fn log_uniform(range: &RangeInclusive<f64>, rng: &mut impl Rng) -> f64 {
    let (start, end) = (libm::log(*range.start()), libm::log(*range.end()));
    libm::exp(uniform(&(start..=end), rng))
}

/// A whole number from 0 to `last`, inclusive.
pub(super) fn up_to(last: usize, rng: &mut impl Rng) -> usize {
    // At most `last`, which is a usize.
    rng.random_range(0..=last as u64) as usize
}

/// The factor of `ColorJitter`.
pub(super) fn jitter(strength: f64, rng: &mut impl Rng) -> f64 {
    uniform(&((1.0 - strength).max(0.0)..=1.0 + strength), rng)
}

/// `RandomResizedCrop.get_params`.
pub(super) fn resized_crop(
    Size { width, height }: Size,
    area: &RangeInclusive<f64>,
    aspect: &RangeInclusive<f64>,
    rng: &mut impl Rng,
) -> Part {
    let whole = width as f64 * height as f64;
    for _ in 0..TRIES {
        let pixels = whole * uniform(area, rng);
        let ratio = log_uniform(aspect, rng);
        let (w, h) = (to_side(pixels * ratio), to_side(pixels / ratio));
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let y = up_to(height - h, rng);
            let x = up_to(width - w, rng);
            return Part::new(x, y, w, h);
        }
    }
    let ratio = width as f64 / height as f64;
    let legal = ratio.clamp(*aspect.start(), *aspect.end());
    let whole_side = |side: f64, most: usize| (side.round_ties_even() as usize).clamp(1, most);
    let (w, h) = if ratio < legal {
        (width, whole_side(width as f64 / legal, height))
    } else {
        (whole_side(height as f64 * legal, width), height)
    };
    Part::new((width - w) / 2, (height - h) / 2, w, h)
}

/// `RandomErasing.get_params`; `None` if no try fits.
pub(super) fn erased(
    Size { width, height }: Size,
    area: &RangeInclusive<f64>,
    aspect: &RangeInclusive<f64>,
    rng: &mut impl Rng,
) -> Option<Part> {
    let whole = width as f64 * height as f64;
    for _ in 0..TRIES {
        let pixels = whole * uniform(area, rng);
        let ratio = log_uniform(aspect, rng);
        let (w, h) = (to_side(pixels / ratio), to_side(pixels * ratio));
        if w < width && h < height {
            let y = up_to(height - h, rng);
            let x = up_to(width - w, rng);
            return Some(Part::new(x, y, w, h));
        }
    }
    None
}

/// The side of a square of this many pixels, rounded as in Python.
fn to_side(pixels: f64) -> usize {
    pixels.sqrt().round_ties_even() as usize
}

/// Beta(alpha, alpha), from two gamma variates.
pub(super) fn beta(alpha: f64, rng: &mut impl Rng) -> f64 {
    let (a, b) = (log_gamma_variate(alpha, rng), log_gamma_variate(alpha, rng));
    1.0 / (1.0 + libm::exp(b - a))
}

/// The logarithm of a gamma variate of scale 1 (Marsaglia and Tsang 2000). The
/// variate itself can be too small for an f64.
fn log_gamma_variate(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        // Gamma(a) = Gamma(a + 1) * U^(1/a), section 6.
        let boost = libm::log(1.0 - rng.random::<f64>()) / shape;
        return log_gamma_variate(shape + 1.0, rng) + boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (x, _) = normal_pair(rng);
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - rng.random::<f64>();
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return libm::log(d * v);
        }
    }
}
