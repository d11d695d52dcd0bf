//! The bytes of an HDF5 file as its reader asks for them, within a limit: the
//! links of a damaged or malicious file lead in circles.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{FormatError, Source};

use super::super::bytes::FileBytes;

/// Bytes of headers and names that may be read, those read again included.
/// VGG16 takes 0.2 MB.
const MOST_READ: u64 = 16 << 20;

/// The longest piece of headers and names.
const LONGEST_READ: usize = 1 << 20;

/// From this length of a piece on, bytes count several times: each entry of a
/// group can repeat a name of that length.
const LONG_NAME: u64 = 1024;

pub(super) struct Metered {
    bytes: Arc<FileBytes>,
    part: Range<u64>,
    read: AtomicU64,
    longest: AtomicU64,
}

impl Metered {
    pub(super) fn new(bytes: Arc<FileBytes>, part: Range<u64>) -> Self {
        Self {
            bytes,
            part,
            read: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// # Errors
    /// `FormatError::Source` beyond the limit.
    fn count(&self, length: usize, weight: u64) -> Result<(), FormatError> {
        // A read of nothing also takes time, and so does one that is refused.
        let counted = if length > LONGEST_READ { 0 } else { length };
        let cost = (counted as u64 + 16).saturating_mul(weight).min(MOST_READ);
        let read = self.read.fetch_add(cost, Ordering::Relaxed);
        if read + cost > MOST_READ || length > LONGEST_READ {
            let reason = "its groups and attributes are too large, or link in circles";
            return Err(FormatError::Source(reason.to_string()));
        }
        Ok(())
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.part.end - self.part.start
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        self.count(buffer.len(), 1)?;
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(FormatError::Source("it ends too early".to_string()));
        }
        let read = self.bytes.read(self.part.start + offset, buffer);
        read.map_err(|reason| FormatError::Source(reason.to_string()))
    }

    fn read_metadata_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
        let allowed = if length > LONGEST_READ { 0 } else { length };
        let longest = self.longest.fetch_max(allowed as u64, Ordering::Relaxed);
        self.count(length, longest / LONG_NAME)?;
        self.read_exact_at(offset, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(length: usize) -> Metered {
        let (bytes, _) = FileBytes::in_memory(vec![7; length].into());
        Metered::new(Arc::new(bytes), 0..length as u64)
    }

    #[test]
    fn lengths_up_to_the_largest_number_are_refused() {
        for length in [usize::MAX, usize::MAX - 15, LONGEST_READ + 1] {
            let source = metered(LONGEST_READ + 2);
            assert!(source.read_metadata_at(0, length).is_err());
            assert!(source.read_exact_at(u64::MAX, length).is_err());
            assert!(source.read_exact_at(0, 1).is_ok());
        }
    }

    #[test]
    fn bytes_that_are_read_again_count_again() {
        let source = metered(1000);
        let reads = (0..MOST_READ).take_while(|_| source.read_metadata_at(0, 984).is_ok());
        assert_eq!(reads.count() as u64, MOST_READ / 1000);
        assert!(source.read_exact_at(0, 0).is_err());
    }

    #[test]
    fn names_that_are_long_count_more() {
        let source = metered(1 << 17);
        let reads = (0..MOST_READ).take_while(|_| source.read_metadata_at(0, 1 << 17).is_ok());
        assert!(reads.count() < 2);
    }
}
