use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::Graph;
use crate::layers::{Conv2d, Layer, Sequential};
use crate::model::Model;
use crate::shape::Shape;

use super::grid::Grid;

/// Fractions of the channels at which a layer is timed.
const FRACTIONS: [f64; 3] = [0.25, 0.5, 1.0];

/// A convolution with all that decides how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kind {
    pub(super) conv: Conv2d,
    pub(super) input: Shape,
    /// The layers that run together with it.
    pub(super) tail: Vec<Layer>,
    pub(super) batch: usize,
    /// Whether the channels of its input may be left out, and its own.
    pub(super) varies: Varies,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Varies {
    pub(super) input: bool,
    pub(super) output: bool,
}

impl Kind {
    /// Its milliseconds at some numbers of channels, each the median of some runs.
    pub(super) fn measure(&self, runs: usize) -> Result<Grid> {
        let inputs = steps(self.input.channels(), self.varies.input);
        let outputs = steps(self.conv.out_channels, self.varies.output);
        let mut values = Vec::new();
        for &inputs in &inputs {
            for &outputs in &outputs {
                values.push(self.milliseconds((inputs, outputs), runs)?);
            }
        }
        Ok(Grid {
            inputs,
            outputs,
            values,
        })
    }

    fn milliseconds(&self, (inputs, outputs): (usize, usize), runs: usize) -> Result<f64> {
        let (height, width) = self.input.size().unwrap_or((1, 1));
        let conv = Conv2d {
            out_channels: outputs,
            ..self.conv.clone()
        };
        let mut layers = Sequential::new().conv2d("conv", conv);
        for (index, layer) in self.tail.iter().enumerate() {
            layers = layers.layer(format!("tail{index}"), layer.clone());
        }
        let graph = Graph::new("timed", (inputs, height, width))?.attach(layers)?;
        let model = graph.freeze_all().build(&Device::Cpu)?;
        // In memory as the layer before leaves it.
        let x = Tensor::ones(
            (self.batch, height, width, inputs),
            DType::F32,
            &Device::Cpu,
        )?;
        median_ms(&model, &x.permute((0, 3, 1, 2))?, runs)
    }
}

fn steps(channels: usize, varies: bool) -> Vec<usize> {
    if !varies {
        return vec![channels];
    }
    let steps = FRACTIONS.iter();
    let mut steps: Vec<usize> = steps
        .map(|fraction| ((channels as f64 * fraction).ceil() as usize).max(1))
        .collect();
    steps.dedup();
    steps
}

/// The median time of some forward passes, in milliseconds.
pub(super) fn median_ms(model: &Model, x: &Tensor, runs: usize) -> Result<f64> {
    model.forward(x)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        times.push(once(model, x)?);
    }
    Ok(median(times))
}

/// How many times as fast the second model is, by runs in alternation.
pub(in super::super) fn speedup(
    old: &Model,
    new: &Model,
    x: &Tensor,
    runs: usize,
) -> Result<Speed> {
    old.forward(x)?;
    new.forward(x)?;
    let (mut before, mut after, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (old, new) = (once(old, x)?, once(new, x)?);
        ratios.push(old / new);
        before.push(old);
        after.push(new);
    }
    Ok(Speed {
        before: median(before),
        after: median(after),
        ratio: median(ratios),
    })
}

/// Milliseconds of two models.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Speed {
    pub(in super::super) before: f64,
    pub(in super::super) after: f64,
    pub(in super::super) ratio: f64,
}

fn once(model: &Model, x: &Tensor) -> Result<f64> {
    let started = Instant::now();
    model.forward_all(x)?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
