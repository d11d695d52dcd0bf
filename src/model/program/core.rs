use std::fmt;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::ops::{Extent, Instruction};

use super::step::{Line, Step, Work};

/// The steps of a forward pass for inputs of one size. A step computes one
/// layer, or a chain of layers at once. [`Model::program`](crate::Model::program)
/// returns it; `Display` and `Debug` print a line for each kernel call.
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

/// A value and its register.
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
    /// Runs the steps on `x`, and on a given value if the program was compiled
    /// for one. Returns the outputs.
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
            let value = step.work.run(&inputs).map_err(|reason| Error::Layer {
                layer: step.layers.clone(),
                reason,
            })?;
            registers[step.output] = Some(value);
        }
        let values = self.outputs.iter();
        let values = values.map(|value| registers[value.register].clone().ok_or_else(missing));
        Ok(values.collect::<candle_core::Result<_>>()?)
    }

    /// Whether it is a single sequence that computes this number of losses.
    pub(in crate::model) fn is_sequence_with(&self, losses: usize) -> bool {
        let [step] = self.steps.as_slice() else {
            return false;
        };
        let Work::Sequence(sequence) = &step.work else {
            return false;
        };
        let instructions = sequence.instructions().map(|placed| &placed.instruction);
        let found = instructions.filter(|found| matches!(found, Instruction::Loss { .. }));
        found.count() == losses
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
    candle_core::Error::Msg("a step reads a value that no step has computed".to_string())
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {}", self.name, self.input)?;
        let lines: Vec<_> = self.steps.iter().flat_map(Step::lines).collect();
        let width = |text: fn(&Line) -> &str| lines.iter().map(|line| text(line).len()).max();
        let width_of_layers = width(|line| &line.layers).unwrap_or(0);
        let width_of_work = width(|line| &line.work).unwrap_or(0);
        for Line {
            layers,
            work,
            output,
        } in &lines
        {
            writeln!(
                f,
                "  {layers:width_of_layers$}  {work:width_of_work$}  {output}"
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
