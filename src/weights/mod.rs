//! Weights on disk, in memory and on a hub. In comes what a graph needs, by
//! names and shapes; out go these tensors, and no others are read. Tensors are
//! written here too, and files replaced whole.

mod atomic;
mod convert;
mod file;
mod find;
mod hash;
mod header;
#[cfg(feature = "hub")]
mod hub;
mod identity;
mod memory;
mod opened;
mod options;
mod pickle;
mod progress;
mod stored;
#[cfg(test)]
mod tests;
mod write;

use candle_core::Tensor;

#[cfg(not(feature = "hub"))]
use crate::error::Error;
use crate::error::Result;
use crate::graph::{HubFile, Location, WeightSet};
use identity::Identity;
use stored::Open;

pub(crate) use crate::error::io_error;
pub(crate) use atomic::{check_writable, write_atomically};
pub(crate) use file::FileMap;
pub(crate) use find::Wanted;
pub(crate) use hash::{hash_tensor, hex};
pub use memory::TensorSource;
pub(crate) use opened::Opened;
pub use options::HubOptions;
pub(crate) use options::ReadOptions;
pub use progress::Progress;
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub(crate) use write::{write_safetensors, write_values};

/// Reads one tensor for each parameter wanted, in order: on the CPU, of the
/// type it is stored in, in the parameter's own shape.
///
/// # Errors
/// `Error::MissingTensor`, `Error::TensorShape` and `Error::TensorDtype` where
/// the file lacks what is wanted; `Error::InvalidWeights` and `Error::HashMismatch` where it is not sound;
/// `Error::Io`; from a hub, any of the errors about it.
pub(crate) fn load(
    set: &WeightSet,
    wanted: &[Wanted<'_>],
    options: &ReadOptions,
) -> Result<Vec<Tensor>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    match set.location() {
        Location::Hub(hub) => load_from_hub(hub, wanted, options),
        Location::AtHand(tensors) => find::read_all(Open::of(&**tensors), wanted),
        Location::Safetensors(path) if !pickle::begins_like_one(path) => {
            find::read_all(&file::Safetensors::map(path)?, wanted)
        }
        Location::Safetensors(path) | Location::Pickle(path) => {
            find::read_all(&pickle::Pickle::open(path)?, wanted)
        }
        Location::Bytes(bytes) => {
            find::read_all(&file::Safetensors::from_bytes(bytes.clone())?, wanted)
        }
    }
}

#[cfg(feature = "hub")]
fn load_from_hub(
    hub: &HubFile,
    wanted: &[Wanted<'_>],
    options: &ReadOptions,
) -> Result<Vec<Tensor>> {
    hub::load(hub, wanted, options)
}

#[cfg(not(feature = "hub"))]
fn load_from_hub(hub: &HubFile, _: &[Wanted<'_>], _: &ReadOptions) -> Result<Vec<Tensor>> {
    Err(Error::MissingFeature {
        what: format!("loading weights from the hub ({})", hub.repository),
        feature: "hub",
    })
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
    hub::identify(hub, options)
}

#[cfg(not(feature = "hub"))]
fn identify_on_hub(hub: &HubFile, _: &ReadOptions) -> Result<Identity> {
    Err(Error::MissingFeature {
        what: format!("asking the hub for {}", hub.repository),
        feature: "hub",
    })
}
