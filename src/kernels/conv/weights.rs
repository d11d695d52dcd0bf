//! A filter's weights, in memory and in the order in which a sweep reads them.

use super::sweep::{Direction, Sweep};
use crate::kernels::geometry::Size2;
use crate::kernels::simd::Simd;
use crate::kernels::span::{Span, chunks};

/// The sizes of a filter as a sweep uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Input channels of the sweep, in all groups.
    pub in_channels: usize,
    /// Output channels of the sweep, in all groups.
    pub out_channels: usize,
    pub groups: usize,
    pub kernel_size: Size2,
}

impl Shape {
    pub fn new(sweep: &Sweep) -> Self {
        Self {
            in_channels: sweep.in_channels,
            out_channels: sweep.out_channels,
            groups: sweep.groups,
            kernel_size: sweep.kernel_size,
        }
    }

    pub fn len(&self) -> usize {
        self.out_channels * self.steps()
    }

    /// Input channels of a group.
    #[inline(always)]
    pub fn ins(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    #[inline(always)]
    pub fn outs(&self) -> usize {
        self.out_channels / self.groups
    }

    /// The number of products summed for one output.
    #[inline(always)]
    pub fn steps(&self) -> usize {
        self.ins() * self.kernel_size.pixels()
    }
}

/// The weights of a filter, `(O, I / groups, kH, kW)`.
#[derive(Clone, Copy, Debug)]
pub struct FilterWeights<'a> {
    pub values: &'a [f32],
    /// A factor for the weights of each output channel.
    pub scale: Option<&'a [f32]>,
}

impl<'a> From<&'a [f32]> for FilterWeights<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self {
            values,
            scale: None,
        }
    }
}

/// The index of a weight: its group, its input and output channel in the group,
/// and the row and column of its tap.
#[derive(Clone, Copy)]
pub(super) struct Index {
    pub group: usize,
    pub input: usize,
    pub output: usize,
    pub row: usize,
    pub column: usize,
}

/// Weights and the direction of the sweep that reads them.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub shape: Shape,
    pub given: FilterWeights<'a>,
    pub direction: Direction,
}

impl Weights<'_> {
    #[inline(always)]
    pub fn at(&self, index: Index) -> f32 {
        let Index {
            group,
            input,
            output,
            row,
            column,
        } = index;
        let (ins, outs) = (self.shape.ins(), self.shape.outs());
        let Size2 { height, width } = self.shape.kernel_size;
        let FilterWeights { values, scale } = self.given;
        let (channel, value) = match self.direction {
            Direction::Forward => {
                let channel = group * outs + output;
                let filter = channel * ins + input;
                (channel, values[(filter * height + row) * width + column])
            }
            Direction::InputGradient => {
                let channel = group * ins + input;
                let filter = channel * outs + output;
                let tap = (filter * height + height - 1 - row) * width + width - 1 - column;
                (channel, values[tap])
            }
        };
        scale.map_or(value, |scale| value * scale[channel])
    }

    /// Copies the 3x3 filters from the input channels `inputs` to a vector of
    /// output channels from `output` on. Prefetches the next filters.
    #[inline(always)]
    fn copy<S: Simd>(&self, simd: S, inputs: Span, output: usize, target: &mut [f32]) {
        let (ins, outs) = (self.shape.in_channels, self.shape.out_channels);
        let (first, count) = (inputs.start, inputs.count);
        let filled = outs.saturating_sub(output).min(S::LANES);
        if filled < S::LANES {
            target.fill(0.0);
        }
        // A row consists of filters that are contiguous in memory.
        let (rows, len, start, pitch) = match self.direction {
            Direction::Forward => (filled, count, output * ins + first, ins),
            Direction::InputGradient => (count, filled, first * outs + output, outs),
        };
        let (ahead, target_pitch) = match self.direction {
            Direction::Forward => (INPUTS, 9 * INPUTS),
            Direction::InputGradient => (INPUTS * outs, 9 * S::LANES),
        };
        if filled == 0 {
            return;
        }
        let values = &self.given.values[start * 9..][..((rows - 1) * pitch + len) * 9];
        assert!((rows - 1) * target_pitch + len * 9 <= target.len());
        for row in 0..rows {
            for Span { start, count } in chunks(len * 9, S::LANES) {
                let source = values.as_ptr().wrapping_add(row * pitch * 9 + start);
                simd.prefetch(source.wrapping_add(ahead * 9));
                // SAFETY: `values` ends with the `len` filters of the last row,
                // and by the assert above the target holds as many.
                unsafe {
                    let target = target.as_mut_ptr().add(row * target_pitch + start);
                    simd.store_up_to(target, count, simd.load_up_to(source, count));
                }
            }
        }
    }

    /// The factors of the filters from input channel `input` to a vector of
    /// output channels that begins at `output`.
    #[inline(always)]
    fn factors<S: Simd>(&self, simd: S, input: usize, output: usize) -> Option<S::Vector> {
        let scale = self.given.scale?;
        Some(match self.direction {
            Direction::InputGradient => simd.splat(scale[input]),
            Direction::Forward => lanes(simd, |lane| {
                scale.get(output + lane).copied().unwrap_or(0.0)
            }),
        })
    }
}

/// The most input channels in a [`Block`].
pub(super) const INPUTS: usize = 8;

/// 3x3 filters from a few input channels to a vector of output channels, copied
/// next to each other. In the weights they lie too far apart for a level-1
/// cache.
pub(super) struct Block<'a> {
    weights: Weights<'a>,
    inputs: Span,
    output: usize,
    numbers: [f32; INPUTS * 16 * 9 + 16],
}

impl<'a> Block<'a> {
    pub fn new(weights: Weights<'a>) -> Self {
        Self {
            weights,
            inputs: Span { start: 0, count: 0 },
            output: 0,
            numbers: [0.0; INPUTS * 16 * 9 + 16],
        }
    }

    /// Copies the filters from the input channels `inputs` to a vector of
    /// output channels that begins at `output`. Channels beyond the last are 0.
    #[inline(always)]
    pub fn fill<S: Simd>(&mut self, simd: S, inputs: Span, output: usize) {
        assert!(inputs.count <= INPUTS);
        self.weights.copy(simd, inputs, output, &mut self.numbers);
        (self.inputs, self.output) = (inputs, output);
    }

    /// The nine taps of input channel `input`, with one output channel per lane.
    #[inline(always)]
    pub fn taps<S: Simd>(&self, simd: S, input: usize) -> [S::Vector; 9] {
        let (from, pitch) = match self.weights.direction {
            Direction::Forward => (9, INPUTS * 9),
            Direction::InputGradient => (S::LANES * 9, 9),
        };
        let start = (input - self.inputs.start) * from;
        assert!(start + (S::LANES - 1) * pitch + 16 <= self.numbers.len());
        let mut taps = [simd.splat(0.0); 9];
        for first in (0..9).step_by(S::LANES) {
            let mut square = [simd.splat(0.0); 16];
            for (lane, row) in square.iter_mut().enumerate().take(S::LANES) {
                let source = start + lane * pitch + first;
                // SAFETY: by the assert above, `numbers` holds 16 values of the
                // last filter, and the vector at `first` ends within them.
                *row = unsafe { simd.load(self.numbers.as_ptr().add(source)) };
            }
            simd.transpose(&mut square);
            let len = S::LANES.min(9 - first);
            taps[first..first + len].copy_from_slice(&square[..len]);
        }
        if let Some(factors) = self.weights.factors(simd, input, self.output) {
            taps = taps.map(|tap| simd.mul(tap, factors));
        }
        if self.weights.direction == Direction::InputGradient {
            taps.reverse();
        }
        taps
    }
}

/// The vector whose lanes are `number(lane)`.
#[inline(always)]
fn lanes<S: Simd>(simd: S, number: impl Fn(usize) -> f32) -> S::Vector {
    let mut lanes = [0.0f32; 16];
    for (lane, value) in lanes.iter_mut().enumerate().take(S::LANES) {
        *value = number(lane);
    }
    // SAFETY: no instruction set has more than 16 lanes.
    unsafe { simd.load(lanes.as_ptr()) }
}
