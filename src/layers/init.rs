use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::random::{normal, stream};

/// The distribution that a new parameter is drawn from.
///
/// Fans are counted as in Keras: of a kernel `(O, I, kH, kW)` the fan-in is
/// `I * kH * kW`, the fan-out `O * kH * kW`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Init {
    /// Uniform within `sqrt(6 / (fan_in + fan_out))`, Keras' default (Glorot
    /// and Bengio 2010, equation 16).
    GlorotUniform,
    /// Normal with variance `2 / fan_in`, for layers behind ReLU (He et al.
    /// 2015, equation 10).
    HeNormal,
    /// Uniform within `1 / sqrt(fan_in)`, PyTorch's default for the weights of
    /// convolutions and dense layers.
    PytorchUniform,
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between minus and plus this bound.
    Uniform(f32),
    /// This value everywhere.
    Constant(f32),
}

impl Init {
    /// Zero everywhere.
    pub const ZEROS: Self = Self::Constant(0.0);
    /// One everywhere.
    pub const ONES: Self = Self::Constant(1.0);

    /// The same seed gives the same values on every machine.
    pub(crate) fn sample(&self, shape: &[usize], count: usize, seed: u64) -> Vec<f32> {
        let (fan_in, fan_out) = fans(shape);
        let mut rng = stream(seed, 0);
        let mut uniform = |bound: f64| -> Vec<f32> {
            (0..count)
                .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
                .collect()
        };
        match *self {
            Self::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Self::PytorchUniform => uniform((1.0 / fan_in).sqrt()),
            Self::Uniform(bound) => uniform(bound.into()),
            Self::HeNormal => normal(&mut rng, count, (2.0 / fan_in).sqrt()),
            Self::Normal(std) => normal(&mut rng, count, std.into()),
            Self::Constant(value) => vec![value; count],
        }
    }
}

fn fans(shape: &[usize]) -> (f64, f64) {
    let product = |sizes: &[usize]| sizes.iter().map(|&size| size as f64).product::<f64>();
    match shape {
        [] => (1.0, 1.0),
        [size] => (*size as f64, *size as f64),
        [out, inputs, window @ ..] => (
            *inputs as f64 * product(window),
            *out as f64 * product(window),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glorot_stays_in_its_bound_and_has_its_variance() {
        let shape = [64, 32, 3, 3];
        let count = shape.iter().product();
        let bound = (6.0 / ((32.0 + 64.0) * 9.0f64)).sqrt();
        let values = Init::GlorotUniform.sample(&shape, count, 7);
        assert!(values.iter().all(|v| f64::from(v.abs()) <= bound));
        let variance = values.iter().map(|&v| f64::from(v * v)).sum::<f64>() / count as f64;
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.03);
    }

    #[test]
    fn pytorch_s_default_fills_its_bound_and_heeds_the_inputs_alone() {
        let shape = [256, 32, 3, 3];
        let count = shape.iter().product();
        let values = Init::PytorchUniform.sample(&shape, count, 7);
        let largest = values.iter().map(|v| v.abs()).fold(0.0, f32::max);
        let bound = 1.0 / 288f32.sqrt();
        assert!(largest <= bound && largest > 0.999 * bound);
    }

    #[test]
    fn he_normal_has_its_variance_and_a_seed_repeats_it() {
        let shape = [64, 32, 3, 3];
        let count = shape.iter().product();
        let values = Init::HeNormal.sample(&shape, count, 1);
        let variance = values.iter().map(|&v| f64::from(v * v)).sum::<f64>() / count as f64;
        assert!((variance / (2.0 / 288.0) - 1.0).abs() < 0.03);
        assert_eq!(values, Init::HeNormal.sample(&shape, count, 1));
        assert_ne!(values, Init::HeNormal.sample(&shape, count, 2));
    }
}
