//! Reading the tensors that a graph needs, and no others.

mod convert;
mod file;
mod find;
mod header;
#[cfg(feature = "hub")]
mod hub;
mod identify;
mod memory;
mod opened;
mod options;
mod pickle;
mod progress;
#[cfg(test)]
mod tests;
mod write;

use candle_core::Tensor;

#[cfg(not(feature = "hub"))]
use crate::error::Error;
use crate::error::Result;
use crate::graph::{HubFile, Location, WeightKey, WeightSet};

pub(crate) use crate::error::io_error;
pub(crate) use file::FileMap;
pub(crate) use identify::identify;
pub(crate) use opened::Opened;
pub use options::HubOptions;
pub(crate) use options::ReadOptions;
pub use progress::Progress;
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub(crate) use write::{check_writable, hex, write_atomically, write_safetensors, write_values};

/// One parameter to be read.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The names it may go by, best first.
    pub(crate) keys: &'a [WeightKey],
    /// Its own shape, in PyTorch's layout.
    pub(crate) shape: &'a [usize],
}

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
        Location::Opened(file) => find::read_all(&**file, wanted),
        Location::Safetensors(path) if !pickle::begins_like_one(path) => {
            find::read_all(&file::Safetensors::map(path)?, wanted)
        }
        Location::Safetensors(path) | Location::Pickle(path) => {
            find::read_all(&pickle::Pickle::open(path)?, wanted)
        }
        Location::Bytes(bytes) => {
            find::read_all(&file::Safetensors::from_bytes(bytes.clone())?, wanted)
        }
        Location::Tensors(tensors) => {
            find::read_all(&memory::InMemory::new(tensors.clone()), wanted)
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
