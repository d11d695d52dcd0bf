//! The bytes of a file, given or mapped into memory.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use crate::error::{Result, io_error};

/// The bytes of a whole file.
pub(super) enum FileBytes {
    Shared(Arc<[u8]>),
    Mapped(Mmap),
}

impl FileBytes {
    /// Bytes, and a description for messages.
    pub(super) fn shared(bytes: Arc<[u8]>) -> (Self, String) {
        let place = format!("{} bytes in memory", bytes.len());
        (Self::Shared(bytes), place)
    }

    /// Maps a file. It is opened once: another file that replaces it at its
    /// path is not seen.
    ///
    /// # Errors
    /// `Error::Io`.
    pub(super) fn map(path: &Path) -> Result<(Self, String)> {
        let io = |reason| io_error(path, reason);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        let place = path.display().to_string();
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok((Self::Shared(Arc::default()), place));
        }
        // SAFETY: the map is read-only and never leaves this type, whose users
        // copy bytes out of it and assume nothing about their values. The
        // caller of `WeightSet::file` has the documented duty not to truncate
        // the file meanwhile, and our own cache replaces files by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok((Self::Mapped(map), place))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }

    /// Frees the memory of a range that has been copied, if the file is mapped.
    #[cfg(unix)]
    pub(super) fn release(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            // SAFETY: the map is read-only and backed by a file: released pages
            // are read from the file again at the next access. If the system
            // refuses, the pages stay.
            let _ = unsafe {
                map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
    }

    #[cfg(not(unix))]
    pub(super) fn release(&self, _: Range<usize>) {}
}

/// A mapped file that only this process uses.
pub(crate) struct FileMap(Mmap);

impl FileMap {
    /// Maps a file that this process created under a unique name.
    pub(crate) fn new(file: &File) -> std::io::Result<Self> {
        // SAFETY: the map is read-only. The caller has just created the file
        // under a name that no other program knows, and has finished writing:
        // nobody truncates or changes it while it is mapped.
        unsafe { Mmap::map(file) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
