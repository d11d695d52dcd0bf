//! What a weight file is, and what it holds.

use std::collections::BTreeMap;

use super::ReadOptions;
use super::file::Safetensors;
use super::header::Header;
#[cfg(not(feature = "hub"))]
use crate::error::Error;
use crate::error::Result;
use crate::graph::{HubFile, Location, WeightSet};

/// What tells a file on a hub from all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its commit.
    pub(crate) commit: Option<String>,
    /// Of the whole file, where it is known.
    pub(crate) sha256: Option<String>,
}

/// What a safetensors file says it holds.
pub(crate) struct Contents {
    /// `__metadata__`.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Type, as the file spells it, and shape of each tensor.
    pub(crate) tensors: BTreeMap<String, (String, Vec<usize>)>,
}

/// What a local safetensors file, or one in memory, says it holds; nothing for
/// other places.
///
/// # Errors
/// `Error::InvalidWeights` where it is not sound, `Error::Io`.
pub(crate) fn contents(set: &WeightSet) -> Result<Contents> {
    let of = |header: &Header| {
        let tensors = header.tensors.iter();
        Contents {
            metadata: header.metadata.clone(),
            tensors: tensors
                .map(|(key, entry)| (key.clone(), (entry.dtype.clone(), entry.shape.clone())))
                .collect(),
        }
    };
    Ok(match set.location() {
        Location::Safetensors(path) => of(Safetensors::map(path)?.header()),
        Location::Bytes(bytes) => of(Safetensors::from_bytes(bytes.clone())?.header()),
        _ => Contents {
            metadata: BTreeMap::new(),
            tensors: BTreeMap::new(),
        },
    })
}

/// The bytes of some of the tensors that [`contents`] lists, the file opened
/// once.
///
/// # Errors
/// As [`contents`].
pub(crate) fn raw(set: &WeightSet, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
    fn of<B: AsRef<[u8]>>(file: &Safetensors<B>, keys: &[&str]) -> Result<Vec<Vec<u8>>> {
        let tensors = keys.iter().map(|key| file.raw(key).map(<[u8]>::to_vec));
        tensors.collect()
    }
    match set.location() {
        Location::Safetensors(path) => of(&Safetensors::map(path)?, keys),
        Location::Bytes(bytes) => of(&Safetensors::from_bytes(bytes.clone())?, keys),
        _ => Ok(vec![Vec::new(); keys.len()]),
    }
}

/// Finds out what tells a file on a hub from others; nothing for other places.
///
/// # Errors
/// Any of the errors about a hub.
pub(crate) fn identify(set: &WeightSet, options: &ReadOptions) -> Result<Identity> {
    match set.location() {
        Location::Hub(hub) => identify_on_hub(hub, options),
        _ => Ok(Identity::default()),
    }
}

#[cfg(feature = "hub")]
fn identify_on_hub(hub: &HubFile, options: &ReadOptions) -> Result<Identity> {
    super::hub::identify(hub, options)
}

#[cfg(not(feature = "hub"))]
fn identify_on_hub(hub: &HubFile, _: &ReadOptions) -> Result<Identity> {
    Err(Error::MissingFeature {
        what: format!("asking the hub for {}", hub.repository),
        feature: "hub",
    })
}
