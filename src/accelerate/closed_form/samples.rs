//! Values at a few positions of feature maps, as rows of a matrix.

use candle_core::{DType, Device, Tensor};
use rand::Rng;

use crate::error::Result;
use crate::layers::{Conv2d, Margins, Rules};
use crate::random::keyed;

/// A feature map with the channels last.
pub(super) struct FeatureMaps {
    values: Vec<f32>,
    height: usize,
    width: usize,
    channels: usize,
}

impl FeatureMaps {
    /// From `(N, C, H, W)`.
    pub(super) fn of(value: &Tensor) -> Result<Self> {
        let (_, channels, height, width) = value.dims4()?;
        let value = value.detach().to_device(&Device::Cpu)?;
        let value = value.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?;
        Ok(Self {
            values: value.flatten_all()?.to_vec1()?,
            height,
            width,
            channels,
        })
    }

    fn image(&self, index: usize) -> &[f32] {
        let size = self.height * self.width * self.channels;
        &self.values[index * size..][..size]
    }

    /// Adds the values at these positions of an image: a row for each, with a
    /// value for each channel.
    pub(super) fn points(&self, index: usize, positions: &[Position], rows: &mut Vec<f32>) {
        let image = self.image(index);
        for position in positions {
            let at = (position.y * self.width + position.x) * self.channels;
            rows.extend_from_slice(&image[at..][..self.channels]);
        }
    }

    /// Adds what the filters of a convolution see at these positions of its
    /// output: a row for each, in the order of the weights, with a 1 at the end
    /// for the bias.
    pub(super) fn patches(
        &self,
        conv: &Conv2d,
        index: usize,
        positions: &[Position],
        rows: &mut Vec<f32>,
    ) {
        let image = self.image(index);
        let (rows_of_filter, columns_of_filter) = conv.kernel_size;
        let taps = rows_of_filter * columns_of_filter;
        let Margins { top, left, .. } = conv.window().margins(self.height, self.width);
        let length = unknowns(conv, self.channels);
        for position in positions {
            let start = rows.len();
            rows.resize(start + length, 0.0);
            let row = &mut rows[start..];
            for tap in 0..taps {
                let (dy, dx) = (tap / columns_of_filter, tap % columns_of_filter);
                let y = (position.y * conv.stride.0 + dy * conv.dilation.0).checked_sub(top);
                let x = (position.x * conv.stride.1 + dx * conv.dilation.1).checked_sub(left);
                let (Some(y), Some(x)) = (
                    y.filter(|&y| y < self.height),
                    x.filter(|&x| x < self.width),
                ) else {
                    continue;
                };
                let pixel = &image[(y * self.width + x) * self.channels..][..self.channels];
                let targets = row[tap..].iter_mut().step_by(taps);
                targets.zip(pixel).for_each(|(to, value)| *to = *value);
            }
            if conv.bias {
                row[length - 1] = 1.0;
            }
        }
    }
}

/// Number of unknowns of each filter.
pub(super) fn unknowns(conv: &Conv2d, in_channels: usize) -> usize {
    let (height, width) = conv.kernel_size;
    in_channels * height * width + usize::from(conv.bias)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    pub(super) y: usize,
    pub(super) x: usize,
}

/// Which positions of feature maps are used.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sampling {
    /// Positions of each crop's map.
    pub(in super::super) count: usize,
    pub(in super::super) seed: u64,
}

impl Sampling {
    /// Positions of a map of this size: one at random in each of as many equal
    /// stretches of it; all of them if there are no more.
    pub(super) fn positions(
        self,
        (height, width): (usize, usize),
        crop: usize,
        layer: usize,
    ) -> Vec<Position> {
        let all = height * width;
        let mut rng = keyed([self.seed, 0x5a, crop as u64, layer as u64]);
        let count = self.count.min(all);
        let chosen = (0..count).map(|index| {
            let (start, end) = (index * all / count, (index + 1) * all / count);
            // Below the number of positions, which is a usize.
            rng.random_range(start as u64..end as u64) as usize
        });
        chosen
            .map(|at| Position {
                y: at / width,
                x: at % width,
            })
            .collect()
    }
}
