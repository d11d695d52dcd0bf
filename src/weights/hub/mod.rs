//! Weights from a Hugging Face hub: whole files where most of one is needed or
//! one is there already, else only the tensors wanted. In come the names of a
//! file and of tensors, out go tensors; caches on disk spare what was fetched
//! before.

mod agent;
mod api;
mod body;
mod cache;
mod http;
mod names;
mod pin;
mod ranged;
mod ranges;
mod redirect;
mod session;
mod shared;
mod transfer;
mod whole;

#[cfg(test)]
pub(super) use shared::{WAYS, Way, link};

use self::cache::Cache;
use self::ranged::Ranged;
use self::session::Session;
use super::formats;
use super::options::ReadOptions;
use super::stored::{Identity, StoredTensors};
use crate::error::{Error, Result};
use crate::graph::HubFile;

/// Passes the file on to `read`, which asks for the tensors.
pub(super) fn with_file<T>(
    hub: &HubFile,
    options: &ReadOptions,
    read: impl Fn(&dyn StoredTensors) -> Result<T>,
) -> Result<T> {
    names::check(hub)?;
    let session = Session::new(hub, options)?;
    let hub_options = session.options;
    let cache = Cache::new(&hub_options.home, hub, &session.pin.version);
    match shared::cached(&hub_options.hub_cache, hub, &session.pin.version, &cache) {
        Ok(Some(path)) => match formats::open(&path) {
            Ok(file) => return read(&*file),
            Err(error) if hub_options.offline => return Err(error),
            Err(_) => {}
        },
        Ok(None) => {}
        // Online, a damaged file is not used, and replaced if it is needed.
        Err(error) if hub_options.offline => return Err(error),
        Err(_) => {}
    }
    match Ranged::open(&session, &cache)? {
        Some(ranged) => read(&ranged),
        None => read(&*whole::open(&session, &cache)?),
    }
}

/// The commit that the revision of a hub file names, and the file's hash.
pub(super) fn identify(hub: &HubFile, options: &ReadOptions) -> Result<Identity> {
    names::check(hub)?;
    let session = Session::new(hub, options)?;
    let cache = Cache::new(&session.options.home, hub, &session.pin.version);
    let promised = hub.sha256.clone();
    let sha256 = match session.info(&cache) {
        Ok(info) => info.sha256.clone().or(promised),
        Err(error @ Error::HashMismatch { .. }) => return Err(error),
        Err(_) => promised,
    };
    Ok(Identity {
        commit: session.pin.commit().map(str::to_string),
        sha256,
    })
}
