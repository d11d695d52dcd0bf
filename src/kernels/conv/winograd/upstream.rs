//! A direct convolution whose rows are made as they are read.

use super::tile::Tile;
use super::transform::Map;
use crate::kernels::conv::direct::Strip;
use crate::kernels::conv::pass::Pass;
use crate::kernels::gated::Gated;
use crate::kernels::scratch::{Lent, Slot, lend};

/// The rows of a map that a row of tiles reads, while they are needed.
pub(super) struct Upstream<'a> {
    pass: &'a Pass<'a>,
    /// Row `y` lies at `y % kept`.
    rows: Lent,
    kept: usize,
    /// Numbers in a row.
    line: usize,
    /// The image the rows are of.
    image: usize,
    /// The row after the last one made.
    next: usize,
}

impl<'a> Upstream<'a> {
    /// No rows yet.
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

    /// The feature map, as far as it is there.
    pub fn map(&self) -> Map<'_> {
        let sweep = &self.pass.sweep;
        Map {
            rows: Gated::from(&self.rows[..]),
            kept: self.kept,
            size: sweep.out_size,
            channels: sweep.out_channels,
        }
    }

    /// Makes the rows that a row of tiles reads, from `top` on.
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
            self.pass.filter.kernel().run(strip);
            next += count;
        }
        (self.image, self.next) = (image, next);
    }
}
