use candle_core::{Device, Result, Tensor};

use crate::layers::UpsampleMode;

/// Resizes `x` `(N, C, H, W)` to this height and width.
pub(crate) fn upsample(
    x: &Tensor,
    (height, width): (usize, usize),
    mode: UpsampleMode,
) -> Result<Tensor> {
    let (_, _, in_height, in_width) = x.dims4()?;
    match mode {
        UpsampleMode::Nearest => {
            let rows = nearest(in_height, height)?;
            let columns = nearest(in_width, width)?;
            x.contiguous()?
                .index_select(&Tensor::new(rows, x.device())?, 2)?
                .index_select(&Tensor::new(columns, x.device())?, 3)
        }
        UpsampleMode::Bilinear => {
            let rows = Mixture::bilinear(in_height, height);
            let columns = Mixture::bilinear(in_width, width);
            separable(x, &rows, &columns)
        }
    }
}

fn nearest(input: usize, output: usize) -> Result<Vec<u32>> {
    (0..output)
        .map(|index| u32::try_from(index * input / output).map_err(candle_core::Error::wrap))
        .collect()
}

/// Interpolation weights along one side: row `i` has the weight of each input pixel
/// for output pixel `i`.
pub(super) struct Mixture {
    weights: Vec<f64>,
    output: usize,
    input: usize,
}

impl Mixture {
    pub(super) fn zeros(output: usize, input: usize) -> Self {
        Self {
            weights: vec![0.0; output * input],
            output,
            input,
        }
    }

    pub(super) fn add(&mut self, output: usize, input: usize, weight: f64) {
        self.weights[output * self.input + input] += weight;
    }

    /// As PyTorch's `align_corners=False`: pixel centers are half a pixel in.
    fn bilinear(input: usize, output: usize) -> Self {
        let mut mixture = Self::zeros(output, input);
        let scale = input as f64 / output as f64;
        for index in 0..output {
            let center = ((index as f64 + 0.5) * scale - 0.5).max(0.0);
            let low = (center.floor() as usize).min(input - 1);
            let high = (low + 1).min(input - 1);
            let share = center - low as f64;
            mixture.add(index, low, 1.0 - share);
            mixture.add(index, high, share);
        }
        mixture
    }

    fn tensor(&self, like: &Tensor) -> Result<Tensor> {
        let shape = (self.output, self.input);
        Tensor::from_vec(self.weights.clone(), shape, &Device::Cpu)?
            .to_dtype(like.dtype())?
            .to_device(like.device())
    }
}

/// Multiplies each channel by both matrices: `rows * channel * columns^T`.
pub(super) fn separable(x: &Tensor, rows: &Mixture, columns: &Mixture) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let planes = x.reshape((batch * channels, height, width))?;
    let mixed = rows.tensor(x)?.broadcast_matmul(&planes)?;
    let mixed = mixed.broadcast_matmul(&columns.tensor(x)?.t()?.contiguous()?)?;
    mixed.reshape((batch, channels, rows.output, columns.output))
}
