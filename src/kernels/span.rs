//! Cutting rows, columns, channels and values into pieces.

use std::ops::Range;

/// `count` rows, columns, channels or values from `start` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub start: usize,
    pub count: usize,
}

impl Span {
    #[inline(always)]
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.count
    }
}

/// Cuts `len` into the fewest spans of at most `most`, with lengths that differ
/// by at most 1.
#[inline(always)]
pub(super) fn pieces(len: usize, most: usize) -> impl Iterator<Item = Span> {
    let pieces = len.div_ceil(most);
    (0..pieces).map(move |i| {
        let start = i * len / pieces;
        let count = (i + 1) * len / pieces - start;
        Span { start, count }
    })
}

/// Cuts `len` into spans of `size`. The last one may be shorter.
#[inline(always)]
pub(super) fn chunks(len: usize, size: usize) -> impl Iterator<Item = Span> {
    (0..len).step_by(size).map(move |start| {
        let count = size.min(len - start);
        Span { start, count }
    })
}
