use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Passes after which an unused buffer is freed.
const IDLE_PASSES: u64 = 2;

/// Memory for values between instructions, reused from pass to pass: new pages
/// cost about as much as filling them.
///
/// Keeps at most the memory that the last three passes used at one time.
#[derive(Debug, Default)]
pub(in crate::ops) struct Buffers {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pass: u64,
    free: Vec<Free>,
}

#[derive(Debug)]
struct Free {
    data: Vec<f32>,
    last_used: u64,
}

/// A buffer that returns to its [`Buffers`] when it is dropped.
#[derive(Debug)]
pub(in crate::ops) struct Buffer {
    data: Vec<f32>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the buffers that recent passes did not use.
    pub(super) fn begin_pass(&self) {
        let mut kept = self.kept();
        kept.pass += 1;
        let oldest = kept.pass.saturating_sub(IDLE_PASSES);
        kept.free.retain(|free| free.last_used >= oldest);
    }

    /// Frees all buffers that are not lent.
    pub(super) fn free(&self) {
        self.kept().free.clear();
    }

    /// Lends a buffer of `len` unspecified values.
    pub(in crate::ops) fn lend(self: &Arc<Self>, len: usize) -> Buffer {
        let mut kept = self.kept();
        let fitting = (0..kept.free.len())
            .filter(|&index| {
                let size = kept.free[index].data.len();
                size >= len && size / 2 <= len
            })
            .min_by_key(|&index| kept.free[index].data.len());
        let data = fitting.map(|index| kept.free.swap_remove(index).data);
        drop(kept);
        Buffer {
            data: data.unwrap_or_else(|| vec![0.0; len]),
            len,
            home: Arc::clone(self),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let mut kept = self.home.kept();
        let last_used = kept.pass;
        kept.free.push(Free { data, last_used });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_again_and_freed_when_idle() {
        let buffers = Arc::new(Buffers::default());
        buffers.begin_pass();
        let first = buffers.lend(100);
        let place = first.as_ptr();
        drop(first);
        assert_eq!(buffers.lend(90).as_ptr(), place);
        assert_eq!(buffers.lend(90).len(), 90);
        assert_eq!(buffers.kept().free.len(), 1);
        for _ in 0..=IDLE_PASSES {
            buffers.begin_pass();
        }
        assert_eq!(buffers.kept().free.len(), 0);
    }
}
