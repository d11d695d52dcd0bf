//! What a weight file is, and what it holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ReadOptions;
use super::file::Safetensors;
use super::header::Header;
use super::write::{hex, io_error};
#[cfg(not(feature = "hub"))]
use crate::error::Error;
use crate::error::Result;
use crate::graph::{HubFile, Location, WeightSet};

/// What tells a weight file from all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The commit, for a file on a hub.
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

/// The bytes of one of the tensors that [`contents`] lists.
///
/// # Errors
/// As [`contents`].
pub(crate) fn raw(set: &WeightSet, key: &str) -> Result<Vec<u8>> {
    Ok(match set.location() {
        Location::Safetensors(path) => Safetensors::map(path)?.raw(key)?.to_vec(),
        Location::Bytes(bytes) => Safetensors::from_bytes(bytes.clone())?.raw(key)?.to_vec(),
        _ => Vec::new(),
    })
}

/// Finds out what tells a weight set's file from others. A local file is read
/// from end to end.
///
/// # Errors
/// `Error::Io`; from a hub, any of the errors about it.
pub(crate) fn identify(set: &WeightSet, options: &ReadOptions) -> Result<Identity> {
    match set.location() {
        Location::Hub(hub) => identify_on_hub(hub, options),
        Location::Safetensors(path) | Location::Pickle(path) => Ok(Identity {
            commit: None,
            sha256: Some(hash_of(path)?),
        }),
        Location::Bytes(_) | Location::Tensors(_) => Ok(Identity::default()),
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

fn hash_of(path: &Path) -> Result<String> {
    let io = |source| io_error(path, source);
    let mut file = File::open(path).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(io)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}
