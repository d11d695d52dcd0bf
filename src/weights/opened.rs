//! A safetensors file that is opened once, whatever is read of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::file::{Safetensors, Whole};
use super::stored::Open;
use crate::error::Result;
use crate::graph::WeightSet;

/// Another file that takes the path meanwhile is not seen.
pub(crate) struct Opened(Arc<dyn Whole + Send + Sync>);

impl Opened {
    /// Maps a file, whatever its name ends in.
    ///
    /// # Errors
    /// `Error::InvalidWeights` where it is not sound, `Error::Io`.
    pub(crate) fn map(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Safetensors::map(path)?)))
    }

    /// # Errors
    /// `Error::InvalidWeights` where they are not sound.
    pub(crate) fn from_bytes(bytes: Arc<[u8]>) -> Result<Self> {
        Ok(Self(Arc::new(Safetensors::from_bytes(bytes)?)))
    }

    /// The place in words, for messages.
    pub(crate) fn place(&self) -> String {
        self.0.place()
    }

    /// `__metadata__`.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.header().metadata
    }

    /// Type, as the file spells it, and shape of each tensor.
    pub(crate) fn tensors(&self) -> BTreeMap<String, (String, Vec<usize>)> {
        let tensors = self.0.header().tensors.iter();
        tensors
            .map(|(key, entry)| (key.clone(), (entry.dtype.clone(), entry.shape.clone())))
            .collect()
    }

    /// The bytes of one of the tensors.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if there is none of this name.
    pub(crate) fn raw(&self, key: &str) -> Result<&[u8]> {
        self.0.raw(key)
    }

    /// The tensors as a graph refers to them.
    pub(crate) fn weight_set(&self) -> WeightSet {
        WeightSet::at_hand(Arc::new(Open(self.0.clone())))
    }
}
