use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::Result;

use super::inverse::inverse;

/// What is added to each value on the diagonal of the equations, as a fraction of
/// their mean.
const RIDGE: f64 = 1e-4;

/// The products of all that the filters of a layer see, and the filters.
pub(super) struct Equations {
    /// `(n, n)`: for each channel its taps, then the bias' 1.
    pub(super) products: Tensor,
    /// `(outputs, n)`.
    pub(super) filters: Tensor,
    pub(super) has_bias: bool,
    /// Number of rows that were summed.
    pub(super) rows: usize,
}

impl Equations {
    /// The variance of the outputs, summed over rows and outputs.
    pub(super) fn variance(&self) -> Result<f64> {
        let through = self.filters.matmul(&self.products)?;
        let squares: f64 = (&through * &self.filters)?.sum_all()?.to_scalar()?;
        if !self.has_bias {
            return Ok(squares);
        }
        let last = self.products.dim(0)? - 1;
        let sums = through.narrow(1, last, 1)?;
        let means: f64 = sums.sqr()?.sum_all()?.to_scalar()?;
        Ok(squares - means / self.rows as f64)
    }

    pub(super) fn regular(&self) -> Result<Tensor> {
        let n = self.products.dim(0)?;
        let weights = n - usize::from(self.has_bias);
        let values: Vec<f64> = self.products.flatten_all()?.to_vec1()?;
        let mean = (0..weights).map(|i| values[i * n + i]).sum::<f64>() / weights.max(1) as f64;
        let mut diagonal = vec![mean.max(f64::MIN_POSITIVE) * RIDGE; weights];
        diagonal.resize(n, 0.0);
        let mut values = values;
        for (i, more) in diagonal.into_iter().enumerate() {
            values[i * n + i] += more;
        }
        Ok(Tensor::from_vec(values, (n, n), &Device::Cpu)?)
    }

    /// The same with one unknown for each channel, a factor of all that the
    /// channel contributes to the outputs (He et al. 2017): a small problem in place
    /// of a large one.
    pub(super) fn by_channel(&self, channels: usize) -> Result<Self> {
        let n = self.products.dim(0)?;
        let weights = n - usize::from(self.has_bias);
        let taps = weights / channels;
        let filters = self.filters.narrow(1, 0, weights)?.to_dtype(DType::F32)?;
        let shared = filters.t()?.contiguous()?.matmul(&filters)?;
        let shared: Vec<f32> = shared.flatten_all()?.to_vec1()?;
        let products: Vec<f64> = self.products.flatten_all()?.to_vec1()?;
        // With a bias, the outputs' means are free: what varies counts.
        let sums = match self.has_bias {
            true => products[weights * n..][..weights].to_vec(),
            false => vec![0.0; weights],
        };
        let rows = self.rows as f64;
        let mut contributions = vec![0.0; channels * channels];
        let lines = contributions.par_chunks_exact_mut(channels).enumerate();
        lines.for_each(|(channel, line)| {
            for row in channel * taps..(channel + 1) * taps {
                for (column, shared) in shared[row * weights..][..weights].iter().enumerate() {
                    let together = products[row * n + column] - sums[row] * sums[column] / rows;
                    line[column / taps] += together * f64::from(*shared);
                }
            }
        });
        Ok(Self {
            products: Tensor::from_vec(contributions, (channels, channels), &Device::Cpu)?,
            filters: Tensor::ones((1, channels), DType::F64, &Device::Cpu)?,
            has_bias: false,
            rows: self.rows,
        })
    }

    /// The filters that come nearest to the old outputs with these of the
    /// channels; `None` if the equations can't be solved.
    pub(super) fn refit(&self, channels: usize, kept: &[u32]) -> Result<Option<Tensor>> {
        let n = self.products.dim(0)?;
        let taps = (n - usize::from(self.has_bias)) / channels;
        let taps = taps as u32;
        let mut columns: Vec<u32> = kept
            .iter()
            .flat_map(|channel| channel * taps..(channel + 1) * taps)
            .collect();
        columns.extend(self.has_bias.then_some(n as u32 - 1));
        let columns = Tensor::new(columns, &Device::Cpu)?;
        let right = self
            .filters
            .matmul(&self.products)?
            .index_select(&columns, 1)?;
        let left = self.regular()?.index_select(&columns, 0)?;
        let left = left.index_select(&columns, 1)?.contiguous()?;
        Ok(match inverse(&left)? {
            Some(inverse) => Some(right.matmul(&inverse)?.to_dtype(DType::F32)?),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: usize = 3;
    const TAPS: usize = 2;

    /// Of 40 rows and two filters with biases.
    fn equations() -> Equations {
        let n = CHANNELS * TAPS + 1;
        let values = (0..40 * n).map(|i| match i % n {
            at if at == n - 1 => 1.0,
            _ => ((i * i + 7 * i) % 23) as f64 / 23.0,
        });
        let rows = Tensor::from_iter(values, &Device::Cpu).unwrap();
        let rows = rows.reshape((40, n)).unwrap();
        let filters = (0..2 * n).map(|i| ((i * 5) % 9) as f64 - 4.0);
        let filters = Tensor::from_iter(filters, &Device::Cpu).unwrap();
        Equations {
            products: rows.t().unwrap().matmul(&rows).unwrap(),
            filters: filters.reshape((2, n)).unwrap(),
            has_bias: true,
            rows: 40,
        }
    }

    /// All contributions together are the outputs.
    #[test]
    fn the_channels_together_vary_as_the_outputs_do() {
        let equations = equations();
        let by_channel = equations.by_channel(CHANNELS).unwrap();
        assert_eq!(by_channel.products.dims(), [CHANNELS, CHANNELS]);
        let (small, whole) = (by_channel.variance(), equations.variance());
        assert!((small.unwrap() / whole.unwrap() - 1.0).abs() < 1e-6);
    }

    /// Outputs that depend on two channels alone are found from these two.
    #[test]
    fn filters_are_found_again_from_the_channels_that_they_need() {
        let mut equations = equations();
        let mask = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let mask = Tensor::new(&mask, &Device::Cpu).unwrap();
        equations.filters = equations.filters.broadcast_mul(&mask).unwrap();
        let found = equations.refit(CHANNELS, &[0, 2]).unwrap().unwrap();
        let kept = Tensor::new(&[0u32, 1, 4, 5, 6], &Device::Cpu).unwrap();
        let wanted = equations.filters.index_select(&kept, 1).unwrap();
        let off = (found.to_dtype(DType::F64).unwrap() - wanted).unwrap();
        let worst: f64 = off.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
        // The ridge is 1e-4 of the diagonal; the filters are up to 4.
        assert!(worst < 1e-2, "{worst}");
    }
}
