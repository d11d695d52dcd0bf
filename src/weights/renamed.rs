//! Tensors under the names that the user gives them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::formats::header::invalid;
use super::stored::StoredTensors;
use crate::error::Result;
use crate::graph::Rename;

pub(super) struct Renamed<'a> {
    source: &'a dyn StoredTensors,
    /// The names in the source, by the new names.
    names: BTreeMap<String, String>,
}

impl<'a> Renamed<'a> {
    /// # Errors
    /// `Error::InvalidWeights` if two tensors get the same name.
    pub(super) fn new(source: &'a dyn StoredTensors, renames: &[Rename]) -> Result<Self> {
        let mut names = BTreeMap::new();
        for stored in source.keys() {
            let name = renames
                .iter()
                .fold(stored.clone(), |name, rename| rename(&name));
            if let Some(other) = names.insert(name.clone(), stored.clone()) {
                let reason = format!(
                    "\"{other}\" and \"{stored}\" would both be named \"{name}\"; change rename, \
                     strip_prefix or key_map"
                );
                return Err(invalid(&source.place(), reason));
            }
        }
        Ok(Self { source, names })
    }

    /// The name in the source.
    pub(super) fn stored_name<'n>(&'n self, name: &'n str) -> &'n str {
        self.names.get(name).map_or(name, String::as_str)
    }
}

impl StoredTensors for Renamed<'_> {
    fn place(&self) -> String {
        self.source.place()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.source.shape(self.names.get(key)?)
    }

    fn keys(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let stored: Vec<&str> = keys.iter().map(|key| self.stored_name(key)).collect();
        self.source.read(&stored)
    }
}
