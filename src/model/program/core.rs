use std::fmt;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::ops::Extent;

use super::step::Step;

/// What a forward pass runs for an input of one size: a list of steps, each a
/// layer or a chain of layers that the CPU computes as one. It is made by
/// [`Model::program`](crate::Model::program); its `Display` and `Debug` are a
/// plan to read, a line for each call of a kernel.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::Vgg16;
///
/// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?;
/// let model = graph.build(&Device::Cpu)?;
/// let program = model.program((1, 3, 32, 32))?;
/// assert!(program.to_string().contains("block1_conv2..block1_pool"));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
pub struct Program {
    pub(super) name: String,
    pub(super) input: Extent,
    pub(super) dtype: DType,
    pub(super) device: Device,
    pub(super) steps: Vec<Step>,
    pub(super) registers: usize,
    pub(super) outputs: Vec<Value>,
}

/// Where a value lies while a program runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) register: usize,
    pub(super) extent: Extent,
    /// Whether it may have a gradient.
    pub(super) is_tracked: bool,
}

/// The registers of the input and of the value that is given.
pub(super) const INPUT: usize = 0;
pub(super) const GIVEN: usize = 1;

impl Program {
    /// Runs the steps on `x`, and on the value that is given if the program was
    /// compiled for one; gives the values asked for.
    pub(in crate::model) fn run(&self, x: &Tensor, given: Option<&Tensor>) -> Result<Vec<Tensor>> {
        if self.input.batch == 0 {
            return self.empty();
        }
        let mut registers: Vec<Option<Tensor>> = vec![None; self.registers];
        registers[INPUT] = Some(x.to_dtype(self.dtype)?);
        registers[GIVEN] = given.cloned();
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|operand| {
                let register = &mut registers[operand.register];
                let value = if operand.is_last_use {
                    register.take()
                } else {
                    register.clone()
                };
                value.ok_or_else(missing)
            });
            let inputs = inputs.collect::<candle_core::Result<Vec<_>>>()?;
            let value = step.work.run(&inputs).map_err(|source| Error::Layer {
                layer: step.layers.clone(),
                source,
            })?;
            registers[step.output] = Some(value);
        }
        let values = self.outputs.iter();
        let values = values.map(|value| registers[value.register].clone().ok_or_else(missing));
        Ok(values.collect::<candle_core::Result<_>>()?)
    }

    /// The values for a batch of no examples.
    fn empty(&self) -> Result<Vec<Tensor>> {
        let values = self.outputs.iter();
        let zeros =
            values.map(|value| Tensor::zeros(value.extent.dims(), self.dtype, &self.device));
        Ok(zeros.collect::<candle_core::Result<_>>()?)
    }
}

fn missing() -> candle_core::Error {
    candle_core::Error::Msg("a step reads a value that none before it has given".to_string())
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {}", self.name, self.input)?;
        let lines: Vec<_> = self.steps.iter().flat_map(Step::lines).collect();
        let width = lines
            .iter()
            .map(|line| line.layers.len())
            .max()
            .unwrap_or(0);
        let longest = lines.iter().map(|line| line.work.len()).max().unwrap_or(0);
        for line in lines {
            writeln!(
                f,
                "  {:width$}  {:longest$}  {}",
                line.layers, line.work, line.output
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
