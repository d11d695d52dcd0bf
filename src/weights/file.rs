//! A whole safetensors file, given as bytes or mapped into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use super::convert::tensor_from_bytes;
use super::header::{self, Entry, Header, invalid};
use super::stored::{Open, StoredTensors};
use crate::error::{Error, Result, io_error};
use crate::graph::WeightSet;

enum Bytes {
    Shared(Arc<[u8]>),
    Mapped(Mmap),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }

    /// Frees the memory of a range that has been copied, if the file is mapped.
    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
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
    fn release(&self, _: Range<usize>) {}
}

/// A whole safetensors file. It is opened once: another file that replaces it
/// at its path is not seen.
pub(crate) struct Safetensors {
    bytes: Bytes,
    header: Header,
    place: String,
}

impl Safetensors {
    fn new(bytes: Bytes, place: String) -> Result<Self> {
        let header = header::parse_file(bytes.as_slice(), &place)?;
        Ok(Self {
            bytes,
            header,
            place,
        })
    }

    /// # Errors
    /// `Error::InvalidWeights` if the bytes are not a valid file.
    pub(crate) fn from_bytes(bytes: Arc<[u8]>) -> Result<Self> {
        let place = format!("{} bytes in memory", bytes.len());
        Self::new(Bytes::Shared(bytes), place)
    }

    /// Maps a file, whatever its name ends in. Tensors are read on demand.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if the file is not valid, `Error::Io`.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let io = |reason| io_error(path, reason);
        let place = path.display().to_string();
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() || metadata.len() < header::LENGTH_BYTES {
            return Err(header::too_short(&place, metadata.len()));
        }
        // SAFETY: the map is read-only and never leaves this struct, which
        // copies bytes out of it and assumes nothing about their values. The
        // caller of `WeightSet::file` has the documented duty not to truncate
        // the file meanwhile, and our own cache replaces files by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::new(Bytes::Mapped(map), place)
    }

    /// The path, or a description of bytes in memory, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    pub(crate) fn tensors(&self) -> &BTreeMap<String, Entry> {
        &self.header.tensors
    }

    /// The bytes of a tensor.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if no tensor has this name.
    pub(crate) fn raw(&self, key: &str) -> Result<&[u8]> {
        let entry = self.entry(key)?;
        let bytes = self.bytes.as_slice().get(self.range(entry)?);
        bytes.ok_or_else(|| self.too_short())
    }

    /// The tensors as a graph refers to them.
    pub(crate) fn weight_set(self: &Arc<Self>) -> WeightSet {
        WeightSet::at_hand(Arc::new(Open(self.clone())))
    }

    fn entry(&self, key: &str) -> Result<&Entry> {
        let entry = self.header.tensors.get(key);
        entry.ok_or_else(|| invalid(&self.place, "it changed"))
    }

    fn range(&self, entry: &Entry) -> Result<Range<usize>> {
        let begin = usize::try_from(entry.begin);
        let range = begin.and_then(|begin| Ok(begin..usize::try_from(entry.end)?));
        range.map_err(|_| self.too_short())
    }

    fn too_short(&self) -> Error {
        invalid(&self.place, "it ends before its tensors do")
    }
}

impl StoredTensors for Safetensors {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        let entry = self.header.tensors.get(key);
        entry.map(|entry| entry.shape.clone())
    }

    fn keys(&self) -> Vec<String> {
        self.header.tensors.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let read = |&key: &&str| {
            let entry = self.entry(key)?;
            let (bytes, start) = (self.raw(key)?, self.range(entry)?.start);
            tensor_from_bytes((key, entry), bytes, &self.place, |copied| {
                self.bytes.release(start + copied.start..start + copied.end);
            })
        };
        keys.iter().map(read).collect()
    }
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
