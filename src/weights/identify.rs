//! What tells a weight file from others.

use super::ReadOptions;
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
