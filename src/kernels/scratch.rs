//! Scratch memory that a thread keeps between calls.

use std::cell::Cell;

/// The most bytes that a thread keeps. A buffer beyond that is freed after use.
const KEPT_BYTES: usize = 128 << 20;

/// The number of buffers that a thread keeps.
const BUFFERS: usize = 8;

/// The role of a buffer. Roles that are never needed at the same time share a
/// buffer.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    /// The input, transformed, padded or packed.
    Input,
    /// Products before they are written to the output, or the output's gradient.
    Output,
    /// Sums of a gradient.
    Sums,
    /// Sums of a bias's gradient, in parts.
    BiasSums,
    Panel,
    /// Padded rows of a direct convolution's input.
    Padded,
    /// Rows that the next convolution reads.
    Rows,
    /// The output of a stack's odd layers.
    Odd,
}

impl Slot {
    /// The feature maps between the large and the small layers of a stack.
    pub const MIDDLE: Self = Self::Sums;
    /// The output of a stack's even layers.
    pub const EVEN: Self = Self::BiasSums;
}

/// A cache line of values, which is also an AVX-512 vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Values aligned to a cache line.
#[derive(Clone, Default)]
pub(super) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    pub(super) fn zeros(len: usize) -> Self {
        let lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)];
        Self { lines, len }
    }

    fn resize(&mut self, len: usize) {
        let lines = len.div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines = vec![Line([0.0; LINE]); lines];
        }
        self.len = len;
    }

    fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }
}

impl std::fmt::Debug for Aligned {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} numbers", self.len)
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is an array of `LINE` values without padding, and
        // `len` is at most `LINE` times their count, see `zeros`, `resize`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static KEPT: [Cell<Aligned>; BUFFERS] = Default::default();
    /// Bytes in the kept buffers.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// A buffer that returns to its thread when it is dropped.
pub(super) struct Lent {
    buffer: Aligned,
    slot: Slot,
}

/// Lends `len` unspecified values from the thread's buffer for `slot`. While
/// the buffer is lent, another call allocates a new one.
pub(super) fn lend(slot: Slot, len: usize) -> Lent {
    let mut buffer = KEPT.with(|kept| kept[slot as usize].take());
    BYTES.set(BYTES.get() - buffer.bytes());
    buffer.resize(len);
    Lent { buffer, slot }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let replaced = KEPT.with(|kept| kept[self.slot as usize].take());
        let others = BYTES.get() - replaced.bytes();
        BYTES.set(others);
        if others + buffer.bytes() <= KEPT_BYTES {
            BYTES.set(others + buffer.bytes());
            KEPT.with(|kept| kept[self.slot as usize].set(buffer));
        }
    }
}

impl std::ops::Deref for Lent {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.buffer
    }
}

impl std::ops::DerefMut for Lent {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }
}
