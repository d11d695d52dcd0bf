//! A direct convolution whose rows are made as they are read.

use super::Tile;
use super::transform::Rows;
use crate::kernels::conv::Pass;
use crate::kernels::conv::direct::Strip;
use crate::kernels::gated::Gated;
use crate::kernels::scratch::{Lent, lend};

/// The scratch memory for its rows.
const ROWS: usize = 6;

/// The rows of a map that a row of tiles reads, while they are needed.
pub(super) struct Upstream<'a> {
    pass: &'a Pass<'a>,
    /// Row `y` lies at `y % kept`.
    rows: Lent,
    kept: usize,
    /// Numbers in a row.
    line: usize,
    /// The image the rows are of, and the row after the last one made.
    made: (usize, usize),
}

impl<'a> Upstream<'a> {
    /// No rows yet.
    pub fn new<T: Tile>(pass: &'a Pass<'a>) -> Self {
        let line = pass.sweep.out_size.width * pass.sweep.out_channels;
        Self {
            pass,
            rows: lend(ROWS, T::IN * line),
            kept: T::IN,
            line,
            made: (usize::MAX, 0),
        }
    }

    /// The rows there are.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            image: Gated::from(&self.rows[..]),
            kept: self.kept,
        }
    }

    /// Makes the rows that the row of tiles at `(image, row)` reads, `padding`
    /// above it.
    pub fn make(&mut self, padding: isize, (image, row): (usize, usize)) {
        let top = row as isize - padding;
        let clamped = |y: isize| y.clamp(0, self.pass.sweep.out_size.height as isize) as usize;
        let (first, last) = (clamped(top), clamped(top + self.kept as isize));
        let mut next = match self.made {
            (of, next) if of == image && next >= first => next,
            _ => first,
        };
        while next < last {
            let place = next % self.kept;
            let count = (last - next).min(self.kept - place);
            let strip = Strip {
                pass: self.pass,
                image,
                first: next,
                output: &mut self.rows[place * self.line..][..count * self.line],
            };
            self.pass.filter.kernel().run(strip);
            next += count;
        }
        self.made = (image, next);
    }
}
