//! Gradients that pass through a ReLU.

use std::ops::Range;

use super::simd::Simd;
use super::span::{Span, chunks};

/// A gradient masked by a ReLU: values count as 0 where `gate`, the ReLU's
/// output, is not positive. If `values` is the gradient of the ReLU's output,
/// this is the gradient of its input.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'a> {
    pub values: &'a [f32],
    /// The ReLU's output, of the same length. `None` means no mask.
    pub gate: Option<&'a [f32]>,
}

impl<'a> From<&'a [f32]> for Gated<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self { values, gate: None }
    }
}

impl<'a> Gated<'a> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// # Panics
    /// If the length of the values or the gate is not `len`.
    #[track_caller]
    pub(super) fn assert_len(&self, len: usize) {
        assert_eq!(self.values.len(), len, "length of the output's gradient");
        assert!(
            self.gate.is_none_or(|gate| gate.len() == len),
            "length of the ReLU's output"
        );
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        Self {
            values: &self.values[range.clone()],
            gate: self.gate.map(|gate| &gate[range]),
        }
    }

    /// Part `index`, if the values are cut into parts of length `len`.
    pub(super) fn part(&self, index: usize, len: usize) -> Self {
        self.slice(index * len..(index + 1) * len)
    }

    /// Loads `count` values from `start` on, at most a vector, with 0 where the
    /// gate is not positive.
    ///
    /// # Safety
    /// The range must lie inside the values and the gate.
    #[inline(always)]
    pub(super) unsafe fn load<S: Simd>(&self, simd: S, start: usize, count: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe {
            let value = simd.load_up_to(self.values.as_ptr().add(start), count);
            match self.gate {
                Some(gate) => {
                    let gate = simd.load_up_to(gate.as_ptr().add(start), count);
                    simd.where_positive(gate, value)
                }
                None => value,
            }
        }
    }

    /// Copies the values, with 0 where the gate is not positive.
    #[inline(always)]
    pub(super) fn copy_to<S: Simd>(&self, simd: S, target: &mut [f32]) {
        let Some(gate) = self.gate else {
            target.copy_from_slice(self.values);
            return;
        };
        let len = target.len();
        assert!(self.values.len() == len && gate.len() == len);
        for Span { start, count } in chunks(len, S::LANES) {
            // SAFETY: by the assert above, the span lies inside all three slices.
            unsafe {
                let value = self.load(simd, start, count);
                simd.store_up_to(target.as_mut_ptr().add(start), count, value);
            }
        }
    }
}
