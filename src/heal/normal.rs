//! The normal equations of a convolution: gathered image by image.

use candle_core::{DType, Device, Tensor};
use faer::linalg::solvers::Llt;
use faer::{MatRef, Side};

use crate::error::Result;
use crate::layers::{Activation, Conv2d, Margins, Rules};

use super::product::grid;

/// Values of patches that are held at a time; tests gather row by row.
const CHUNK: usize = if cfg!(test) { 1 } else { 1 << 22 };

/// One image's feature map, `(C, H, W)`.
pub(super) struct FeatureMap {
    pub(super) values: Vec<f64>,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl FeatureMap {
    pub(super) fn of(value: &Tensor) -> Result<Self> {
        let (_, _, height, width) = value.dims4()?;
        Ok(Self {
            values: super::seam::doubles(value)?,
            height,
            width,
        })
    }
}

/// Sums over patches of one group of channels.
pub(super) struct Normal {
    /// Products of patch values with each other, `(n, n)`.
    pub(super) patches: Tensor,
    /// Products of outputs with patch values, `(outputs, n)`.
    pub(super) outputs: Tensor,
}

/// One group of a convolution.
pub(super) struct Group<'a> {
    pub(super) conv: &'a Conv2d,
    pub(super) index: usize,
    /// Input channels of each.
    pub(super) in_channels: usize,
    /// Output channels of each.
    pub(super) out_channels: usize,
}

impl Group<'_> {
    /// Number of unknowns of each output.
    pub(super) fn unknowns(&self) -> usize {
        let (height, width) = self.conv.kernel_size;
        self.in_channels * height * width + usize::from(self.conv.bias)
    }

    pub(super) fn zeros(&self) -> Result<Normal> {
        let n = self.unknowns();
        let zeros = |rows: usize| Tensor::zeros((rows, n), DType::F64, &Device::Cpu);
        Ok(Normal {
            patches: zeros(n)?,
            outputs: zeros(self.out_channels)?,
        })
    }

    /// Adds an image to the sums, and gives the squared error of the
    /// `solution`, `(outputs, n)`, on it.
    ///
    /// A ReLU's output says of values below 0 nothing but that they are. What
    /// the solution gives there, if it is below 0 too, is therefore as good
    /// as the output: with these instead, each solution of the
    /// equations has a smaller error than the one before.
    pub(super) fn add(
        &self,
        (input, output): (&FeatureMap, &FeatureMap),
        solution: Option<&Tensor>,
        sums: &mut Normal,
    ) -> Result<f64> {
        let n = self.unknowns();
        let rows = (CHUNK / (n * output.width)).clamp(1, output.height);
        let mut error = 0.0;
        for top in (0..output.height).step_by(rows) {
            let rows = top..(top + rows).min(output.height);
            let patches = self.patches(input, rows.clone(), output.width)?;
            let mut wanted = self.wanted(output, rows);
            if let Some(solution) = solution {
                let given = solution.matmul(&patches)?.flatten_all()?.to_vec1()?;
                error += self.complete(&mut wanted, &given);
            } else {
                sums.patches = (&sums.patches + patches.matmul(&patches.t()?)?)?;
            }
            let wanted =
                Tensor::from_vec(wanted, (self.out_channels, patches.dim(1)?), &Device::Cpu)?;
            sums.outputs = (&sums.outputs + wanted.matmul(&patches.t()?)?)?;
        }
        Ok(error)
    }

    /// Replaces outputs that a ReLU has cut by what is given, and returns the
    /// squared error before.
    fn complete(&self, wanted: &mut [f64], given: &[f64]) -> f64 {
        let is_cut = self.conv.activation == Activation::Relu;
        let pairs = wanted.iter_mut().zip(given);
        pairs
            .map(|(wanted, &given)| {
                let output = if is_cut { given.max(0.0) } else { given };
                let error = output - *wanted;
                if is_cut && *wanted <= 0.0 {
                    *wanted = given.min(0.0);
                }
                error * error
            })
            .sum()
    }

    /// The outputs of the group in these rows, `(outputs, rows * width)`.
    fn wanted(&self, output: &FeatureMap, rows: std::ops::Range<usize>) -> Vec<f64> {
        let plane = output.height * output.width;
        let first = self.index * self.out_channels;
        (first..first + self.out_channels)
            .flat_map(|channel| {
                let plane = &output.values[channel * plane..][..plane];
                &plane[rows.start * output.width..rows.end * output.width]
            })
            .copied()
            .collect()
    }

    /// What the filter sees at each position of these rows of the output,
    /// `(n, rows * width)`, with a 1 at the end for the bias.
    fn patches(
        &self,
        input: &FeatureMap,
        rows: std::ops::Range<usize>,
        width: usize,
    ) -> Result<Tensor> {
        let n = self.unknowns();
        let positions = rows.len() * width;
        let Margins { top, left, .. } = self.conv.window().margins(input.height, input.width);
        let (stride, dilation) = (self.conv.stride, self.conv.dilation);
        let mut values = vec![0.0; n * positions];
        let mut taps = values.chunks_exact_mut(positions);
        let first = self.index * self.in_channels;
        for channel in first..first + self.in_channels {
            let plane = &input.values[channel * input.height * input.width..];
            for (dy, dx) in grid(self.conv.kernel_size) {
                let Some(tap) = taps.next() else { break };
                for (row, line) in rows.clone().zip(tap.chunks_exact_mut(width)) {
                    let y = row * stride.0 + dy * dilation.0;
                    let Some(y) = y.checked_sub(top).filter(|&y| y < input.height) else {
                        continue;
                    };
                    let source = &plane[y * input.width..][..input.width];
                    for (column, value) in line.iter_mut().enumerate() {
                        let x = column * stride.1 + dx * dilation.1;
                        if let Some(found) = x.checked_sub(left).and_then(|x| source.get(x)) {
                            *value = *found;
                        }
                    }
                }
            }
        }
        if let Some(ones) = taps.next() {
            ones.fill(1.0);
        }
        Ok(Tensor::from_vec(values, (n, positions), &Device::Cpu)?)
    }

    /// Factors the equations: to each value on the diagonal, except the
    /// bias', `ridge` times itself is added, and more where that does not
    /// make them solvable.
    pub(super) fn factor(&self, sums: &Normal, ridge: f64) -> Result<Option<Llt<f64>>> {
        let n = self.unknowns();
        let matrix: Vec<f64> = sums.patches.flatten_all()?.to_vec1()?;
        let weights = n - usize::from(self.conv.bias);
        let mean = (0..weights).map(|i| matrix[i * n + i]).sum::<f64>() / weights as f64;
        if !mean.is_finite() {
            return Ok(None);
        }
        // Channels that are 0 everywhere keep filters of 0.
        let least = if mean > 0.0 { mean * 1e-9 } else { 1.0 };
        let mut ridge = ridge;
        loop {
            let mut regular = matrix.clone();
            for i in 0..weights {
                let diagonal = &mut regular[i * n + i];
                *diagonal += (*diagonal * ridge).max(least * ridge.max(1e-9));
            }
            let regular = MatRef::from_column_major_slice(&regular, n, n);
            if let Ok(factor) = Llt::new(regular, Side::Lower) {
                return Ok(Some(factor));
            }
            if ridge >= 1.0 {
                return Ok(None);
            }
            ridge = (ridge * 10.0).max(1e-12);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (5, 7);

    fn map(channels: usize, seed: usize) -> FeatureMap {
        let (height, width) = SIZE;
        let values = (0..channels * height * width).map(|i| ((i * i + seed) % 11) as f64 - 4.0);
        FeatureMap {
            values: values.collect(),
            height,
            width,
        }
    }

    /// Whole numbers, whose sums are exact.
    #[test]
    fn rows_and_images_add_up_to_the_sums_of_all_patches() {
        let conv = Conv2d::new(3, 3).same();
        let group = Group {
            conv: &conv,
            index: 0,
            in_channels: 2,
            out_channels: 3,
        };
        let images = [(map(2, 1), map(3, 2)), (map(2, 5), map(3, 7))];
        let mut sums = group.zeros().unwrap();
        for (input, output) in &images {
            group.add((input, output), None, &mut sums).unwrap();
        }
        let n = group.unknowns();
        let (mut patches, mut outputs) = (vec![vec![0.0; n]; n], vec![vec![0.0; n]; 3]);
        let (height, width) = SIZE;
        for ((input, output), (y, x)) in images
            .iter()
            .flat_map(|pair| grid((height, width)).map(move |position| (pair, position)))
        {
            let at = |channel: usize, y: usize, x: usize| match (y.checked_sub(1), x.checked_sub(1))
            {
                (Some(y), Some(x)) if y < height && x < width => {
                    input.values[(channel * height + y) * width + x]
                }
                _ => 0.0,
            };
            let taps =
                (0..2).flat_map(|channel| grid((3, 3)).map(move |(dy, dx)| (channel, dy, dx)));
            let mut patch: Vec<f64> = taps.map(|(c, dy, dx)| at(c, y + dy, x + dx)).collect();
            patch.push(1.0);
            for (row, &value) in patches.iter_mut().zip(&patch) {
                row.iter_mut()
                    .zip(&patch)
                    .for_each(|(sum, p)| *sum += value * p);
            }
            for (channel, row) in outputs.iter_mut().enumerate() {
                let value = output.values[(channel * height + y) * width + x];
                row.iter_mut()
                    .zip(&patch)
                    .for_each(|(sum, p)| *sum += value * p);
            }
        }
        assert_eq!(sums.patches.to_vec2::<f64>().unwrap(), patches);
        assert_eq!(sums.outputs.to_vec2::<f64>().unwrap(), outputs);
    }
}
