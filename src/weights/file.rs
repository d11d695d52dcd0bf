//! Safetensors in memory, given as bytes or mapped from a file.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use super::convert::tensor_from_bytes;
use super::header::{self, Header, invalid};
use super::stored::StoredTensors;
use crate::error::{Result, io_error};

/// The bytes of a file.
pub(super) trait Bytes: AsRef<[u8]> {
    /// Says that part of them has been copied: what they take in memory
    /// besides may be freed.
    fn release(&self, range: Range<usize>);
}

impl Bytes for Arc<[u8]> {
    fn release(&self, _: Range<usize>) {}
}

impl Bytes for Mmap {
    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
        // SAFETY: the map is read-only and of a file, so that pages given up
        // are read from the file again when they are asked for. If the system
        // refuses, they stay.
        let _ = unsafe {
            self.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
    }

    #[cfg(not(unix))]
    fn release(&self, _: Range<usize>) {}
}

/// A whole safetensors file whose bytes can be had at no cost.
pub(super) struct Safetensors<B> {
    bytes: B,
    header: Header,
    place: String,
}

impl<B: AsRef<[u8]>> Safetensors<B> {
    fn new(bytes: B, place: String) -> Result<Self> {
        let header = header::parse_file(bytes.as_ref(), &place)?;
        Ok(Self {
            bytes,
            header,
            place,
        })
    }
}

impl Safetensors<Arc<[u8]>> {
    pub(super) fn from_bytes(bytes: Arc<[u8]>) -> Result<Self> {
        let place = format!("{} bytes in memory", bytes.len());
        Self::new(bytes, place)
    }
}

/// A file of this process alone, in memory as far as it is read.
pub(crate) struct FileMap(Mmap);

impl FileMap {
    /// Maps a file that this process has made under a name of its own.
    pub(crate) fn new(file: &File) -> std::io::Result<Self> {
        // SAFETY: the map is read-only; the caller's file was just created
        // under a name that no other program knows, and is no longer written
        // to, so that nobody truncates or changes it while it is mapped.
        unsafe { Mmap::map(file) }.map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Safetensors<Mmap> {
    /// Maps a file; of its data, only what is asked for later is read.
    pub(super) fn map(path: &Path) -> Result<Self> {
        let io = |source| io_error(path, source);
        let place = path.display().to_string();
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() || metadata.len() < header::LENGTH_BYTES {
            return Err(invalid(
                &place,
                format!(
                    "it has {} bytes, too few for a safetensors file",
                    metadata.len()
                ),
            ));
        }
        // SAFETY: the map is read-only and never leaves this struct, which
        // copies bytes out of it and assumes nothing about their values; that
        // nobody truncates a file in use is a documented duty of the caller of
        // `WeightSet::file`, and our own cache replaces files by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::new(map, place)
    }
}

/// A safetensors file, whatever holds its bytes.
pub(super) trait Whole: StoredTensors {
    fn header(&self) -> &Header;

    /// The bytes of a tensor, as they are.
    fn raw(&self, key: &str) -> Result<&[u8]>;
}

impl<B: Bytes> Whole for Safetensors<B> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn raw(&self, key: &str) -> Result<&[u8]> {
        let range = self.range(key)?;
        let bytes = self.bytes.as_ref().get(range);
        bytes.ok_or_else(|| invalid(&self.place, "it ends before its tensors do"))
    }
}

impl<B> Safetensors<B> {
    fn range(&self, key: &str) -> Result<Range<usize>> {
        let entry = self.header.tensors.get(key);
        let entry = entry.ok_or_else(|| invalid(&self.place, "it changed"))?;
        let range = usize::try_from(entry.begin)
            .ok()
            .zip(usize::try_from(entry.end).ok());
        range
            .map(|(begin, end)| begin..end)
            .ok_or_else(|| invalid(&self.place, "it ends before its tensors do"))
    }
}

impl<B: Bytes> StoredTensors for Safetensors<B> {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.header
            .tensors
            .get(key)
            .map(|entry| entry.shape.clone())
    }

    fn keys(&self) -> Vec<String> {
        self.header.tensors.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        keys.iter()
            .map(|&key| {
                let entry = self.header.tensors.get(key);
                let entry = entry.ok_or_else(|| invalid(&self.place, "it changed"))?;
                let (bytes, start) = (self.raw(key)?, self.range(key)?.start);
                tensor_from_bytes((key, entry), bytes, &self.place, |copied| {
                    self.bytes.release(start + copied.start..start + copied.end);
                })
            })
            .collect()
    }
}
