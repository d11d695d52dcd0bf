//! The bits of compressed data, up to a marker.

use super::markers::{RESTARTS, next_marker};

/// Why compressed data can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end.
    Ended,
    /// A marker comes too early, or too late.
    Marker,
    /// No code or coefficient is like this.
    Code,
}

/// Some cameras write a few bytes more than the blocks take. Of more, these
/// blocks are not the ones that were written.
const MOST_SPARE: usize = 16;

pub(super) struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
    /// The next bits, from the top.
    held: u64,
    count: u32,
    /// Whether a marker or the end of the bytes is at `at`.
    stopped: bool,
}

impl<'b> Bits<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            count: 0,
            stopped: false,
        }
    }

    fn refill(&mut self) {
        while self.count <= 56 && !self.stopped {
            match *self.bytes.get(self.at..).unwrap_or(&[]) {
                [0xff, 0, ..] => self.push(0xff, 2),
                [0xff, ..] | [] => self.stopped = true,
                [byte, ..] => self.push(byte, 1),
            }
        }
    }

    fn push(&mut self, byte: u8, length: usize) {
        self.held |= u64::from(byte) << (56 - self.count);
        self.count += 8;
        self.at += length;
    }

    /// The next 16 bits; zeros after the last.
    pub(super) fn peek(&mut self) -> usize {
        if self.count < 16 {
            self.refill();
        }
        (self.held >> 48) as usize
    }

    /// Takes at most 16 bits.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if self.count < count {
            self.refill();
        }
        if self.count < count {
            return Err(self.shortage());
        }
        // In two steps: a shift by 64 is not defined.
        let value = (self.held >> 1 >> (63 - count)) as u32;
        self.held <<= count;
        self.count -= count;
        Ok(value)
    }

    fn shortage(&self) -> Fault {
        match self.bytes.get(self.at..) {
            None | Some([] | [0xff]) => Fault::Ended,
            _ => Fault::Marker,
        }
    }

    /// Passes over the padding, and a few bytes, to a marker, and returns where
    /// it is.
    pub(super) fn end(&mut self) -> Result<usize, Fault> {
        let mut spare = self.count as usize / 8;
        (self.held, self.count) = (0, 0);
        while !self.stopped {
            self.refill();
            spare += self.count as usize / 8;
            (self.held, self.count) = (0, 0);
            if spare > MOST_SPARE {
                return Err(Fault::Marker);
            }
        }
        Ok(self.at)
    }

    /// Passes over the restart marker of this number.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), Fault> {
        let at = self.end()?;
        let Some((marker, next)) = next_marker(self.bytes, at) else {
            return Err(Fault::Ended);
        };
        if marker != RESTARTS.start() + (number % 8) as u8 {
            return Err(Fault::Marker);
        }
        (self.at, self.stopped) = (next, false);
        Ok(())
    }
}
