//! A whole safetensors file, in memory or on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;

use super::bytes::FileBytes;
use super::header::{self, Entry, Header, invalid};
use crate::error::Result;
use crate::graph::WeightSet;
use crate::weights::convert::tensor_from;
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
        let header = read_header(&bytes, &place)?;
        Ok(Self {
            bytes,
            header,
            place,
        })
    }

    /// # Errors
    /// `Error::InvalidWeights` if the bytes are not a valid file.
    pub(crate) fn from_bytes(bytes: Arc<[u8]>) -> Result<Self> {
        let (bytes, place) = FileBytes::in_memory(bytes);
        Self::new(bytes, place)
    }

    /// Opens a file, whatever its name ends in. Tensors are read on demand.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if the file is not valid, `Error::Io`,
    /// `FileError::NotAFile`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (bytes, place) = FileBytes::open(path)?;
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
    /// `Error::InvalidWeights` if no tensor has this name, or the file was changed.
    pub(crate) fn raw(&self, key: &str) -> Result<Vec<u8>> {
        let entry = self.entry(key)?;
        let bytes = self.bytes.part(entry.begin..entry.end);
        let bytes = bytes.map_err(|reason| self.bytes.fault(&self.place, reason))?;
        self.bytes.check_unchanged(&self.place)?;
        Ok(bytes)
    }

    /// The tensors as a graph refers to them.
    pub(crate) fn weight_set(self: &Arc<Self>) -> WeightSet {
        WeightSet::at_hand(Arc::new(Open(self.clone())))
    }

    fn entry(&self, key: &str) -> Result<&Entry> {
        let entry = self.header.tensors.get(key);
        entry.ok_or_else(|| invalid(&self.place, "it changed"))
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
            tensor_from((key, entry), entry.bytes(), &self.place, |at, piece| {
                let read = self.bytes.read(entry.begin + at, piece);
                read.map_err(|reason| self.bytes.fault(&self.place, reason))
            })
        };
        let tensors = keys.iter().map(read).collect::<Result<_>>()?;
        self.bytes.check_unchanged(&self.place)?;
        Ok(tensors)
    }
}

fn read_header(bytes: &FileBytes, place: &str) -> Result<Header> {
    let fault = |reason| bytes.fault(place, reason);
    let length = header::json_bytes(&bytes.ends().map_err(fault)?, bytes.length(), place)?;
    let json = bytes.part(header::LENGTH_BYTES..header::LENGTH_BYTES + length);
    header::parse(&json.map_err(fault)?, bytes.length(), place)
}
