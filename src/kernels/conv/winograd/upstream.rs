//! A direct convolution that computes its rows when the next one reads them.

use super::tile::Tile;
use super::transform::Map;
use crate::kernels::conv::call::Pass;
use crate::kernels::conv::direct::Strip;
use crate::kernels::gated::Gated;
use crate::kernels::scratch::{Lent, Slot, lend};

/// A ring buffer with the rows that a row of tiles reads.
pub(super) struct Upstream<'a> {
    pass: &'a Pass<'a>,
    /// Row `y` lies at `y % kept`.
    rows: Lent,
    kept: usize,
    /// The number of values in a row.
    line: usize,
    image: usize,
    /// The first row that is not computed yet.
    next: usize,
}

impl<'a> Upstream<'a> {
    pub fn new<T: Tile>(pass: &'a Pass<'a>) -> Self {
        let line = pass.sweep.out_size.width * pass.sweep.out_channels;
        Self {
            pass,
            rows: lend(Slot::Rows, T::IN * line),
            kept: T::IN,
            line,
            image: usize::MAX,
            next: 0,
        }
    }

    pub fn map(&self) -> Map<'_> {
        let sweep = &self.pass.sweep;
        Map {
            rows: Gated::from(&self.rows[..]),
            kept: self.kept,
            size: sweep.out_size,
            channels: sweep.out_channels,
        }
    }

    /// Computes the rows that a row of tiles reads, beginning with `top`.
    pub fn make(&mut self, image: usize, top: isize) {
        let clamped = |y: isize| y.clamp(0, self.pass.sweep.out_size.height as isize) as usize;
        let (first, last) = (clamped(top), clamped(top + self.kept as isize));
        let made = self.image == image && self.next >= first;
        let mut next = if made { self.next } else { first };
        while next < last {
            let kept = next % self.kept;
            let count = (last - next).min(self.kept - kept);
            let strip = Strip {
                pass: self.pass,
                image,
                first: next,
                output: &mut self.rows[kept * self.line..][..count * self.line],
            };
            self.pass.filter.packed.kernel.run(strip);
            next += count;
        }
        (self.image, self.next) = (image, next);
    }
}
