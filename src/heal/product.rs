//! Convolutions as plain numbers, and their products.

use rayon::prelude::*;

/// A convolution of one group without dilation; others are brought to this form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filters {
    /// `(outputs, inputs, height, width)`.
    pub(super) weight: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) inputs: usize,
    pub(super) size: (usize, usize),
    pub(super) stride: (usize, usize),
    /// Rows above and columns to the left that the first filter reaches over
    /// the border.
    pub(super) padding: (usize, usize),
}

impl Filters {
    pub(super) fn identity(channels: usize) -> Self {
        let mut weight = vec![0.0; channels * channels];
        for channel in 0..channels {
            weight[channel * channels + channel] = 1.0;
        }
        Self {
            weight,
            bias: vec![0.0; channels],
            inputs: channels,
            size: (1, 1),
            stride: (1, 1),
            padding: (0, 0),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn scaled(mut self, scale: &[f64], shift: &[f64]) -> Self {
        let taps = self.inputs * self.size.0 * self.size.1;
        let filters = self
            .weight
            .chunks_exact_mut(taps.max(1))
            .zip(&mut self.bias);
        for ((filter, bias), (scale, shift)) in filters.zip(scale.iter().zip(shift)) {
            filter.iter_mut().for_each(|value| *value *= scale);
            *bias = *bias * scale + shift;
        }
        self
    }

    /// The convolution that does what this and then `next` does, away from
    /// the border of the value in between.
    pub(super) fn then(&self, next: &Self) -> Self {
        let size = (
            self.size.0 + (next.size.0 - 1) * self.stride.0,
            self.size.1 + (next.size.1 - 1) * self.stride.1,
        );
        let taps = self.inputs * size.0 * size.1;
        let mut weight = vec![0.0; next.outputs() * taps];
        let outputs = weight.par_chunks_mut(taps).enumerate();
        outputs.for_each(|(output, filter)| self.add_through(next, output, (filter, size)));
        let each = next.inputs * next.size.0 * next.size.1;
        let bias = next.bias.iter().enumerate().map(|(output, bias)| {
            let filter = &next.weight[output * each..][..each];
            let planes = filter.chunks_exact(next.size.0 * next.size.1);
            let through = planes.zip(&self.bias);
            bias + through.map(|(p, b)| p.iter().sum::<f64>() * b).sum::<f64>()
        });
        Self {
            bias: bias.collect(),
            weight,
            inputs: self.inputs,
            size,
            stride: (self.stride.0 * next.stride.0, self.stride.1 * next.stride.1),
            padding: (
                self.padding.0 + next.padding.0 * self.stride.0,
                self.padding.1 + next.padding.1 * self.stride.1,
            ),
        }
    }

    /// Adds all ways from the input through one filter of `next`.
    fn add_through(
        &self,
        next: &Self,
        output: usize,
        (filter, size): (&mut [f64], (usize, usize)),
    ) {
        let plane = self.size.0 * self.size.1;
        for middle in 0..next.inputs {
            for (y, x) in grid(next.size) {
                let at = (output * next.inputs + middle) * next.size.0 + y;
                let factor = next.weight[at * next.size.1 + x];
                if factor == 0.0 {
                    continue;
                }
                for input in 0..self.inputs {
                    let own = &self.weight[(middle * self.inputs + input) * plane..][..plane];
                    for (row, values) in own.chunks_exact(self.size.1).enumerate() {
                        let to = (input * size.0 + y * self.stride.0 + row) * size.1;
                        let to = &mut filter[to + x * self.stride.1..];
                        for (to, value) in to.iter_mut().zip(values) {
                            *to += factor * value;
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn grid((height, width): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}
