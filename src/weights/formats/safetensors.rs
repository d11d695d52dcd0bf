//! A whole safetensors file, given as bytes or mapped into memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;

use super::bytes::FileBytes;
use super::header::{self, Entry, Header, invalid};
use crate::error::{Error, Result};
use crate::graph::WeightSet;
use crate::weights::convert::tensor_from_bytes;
use crate::weights::stored::{Open, StoredTensors};

/// A whole safetensors file. It is opened once: another file that replaces it
/// at its path is not seen.
pub(crate) struct Safetensors {
    bytes: FileBytes,
    header: Header,
    place: String,
}

impl Safetensors {
    pub(super) fn new(bytes: FileBytes, place: String) -> Result<Self> {
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
        let (bytes, place) = FileBytes::shared(bytes);
        Self::new(bytes, place)
    }

    /// Maps a file, whatever its name ends in. Tensors are read on demand.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if the file is not valid, `Error::Io`.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        let (bytes, place) = FileBytes::map(path)?;
        Self::new(bytes, place)
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
