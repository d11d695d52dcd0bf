//! Which version of a file a revision names.

use std::cell::OnceCell;

use super::api::{self, Stated};
use super::http::Http;
use super::{cache, names, shared};
use crate::error::{Error, Result};
use crate::graph::HubFile;
use crate::weights::options::HubOptions;

/// One version of a file.
pub(super) struct Pin {
    /// The revision that requests ask for: the commit, if the server names one.
    pub(super) asked: String,
    /// What caches call the version: the commit or, without one, a name made of
    /// the file's ETag.
    pub(super) version: String,
    /// What the server has said about it so far.
    pub(super) stated: Option<Stated>,
}

impl Pin {
    /// The version that `hub` names: as the server says or, where it can't be
    /// asked, as it said last.
    pub(super) fn of(hub: &HubFile, options: &HubOptions, http: &OnceCell<Http>) -> Result<Self> {
        if names::is_commit(&hub.revision) {
            return Ok(Self::at(hub, hub.revision.clone()));
        }
        let known = || {
            let ours = cache::known_version(&options.home, hub);
            let shared = shared::known_commit(&options.hub_cache, hub);
            let version = match shared {
                Some(commit) if shared::is_cached(&options.hub_cache, hub, &commit) => Some(commit),
                _ => ours,
            };
            version.map(|version| Self::at(hub, version))
        };
        if options.offline {
            return known().ok_or_else(|| Error::Offline {
                what: format!("{}@{}", hub.repository, hub.revision),
            });
        }
        match Http::once(http, options).and_then(|http| Self::ask(hub, http)) {
            Ok(pin) => {
                // A home that can't be written may still have all that is needed.
                let _ = cache::remember_version(&options.home, hub, &pin.version);
                Ok(pin)
            }
            Err(
                error @ (Error::HubUnreachable { .. }
                | Error::HubRateLimited { .. }
                | Error::HubResponse { .. }),
            ) => known().ok_or(error),
            Err(error) => Err(error),
        }
    }

    fn at(hub: &HubFile, version: String) -> Self {
        let is_commit = names::is_commit(&version);
        Self {
            asked: match is_commit {
                true => version.clone(),
                false => hub.revision.clone(),
            },
            version,
            stated: None,
        }
    }

    fn ask(hub: &HubFile, http: &Http) -> Result<Self> {
        let stated = api::head(http, hub, &hub.revision)?;
        let commit = stated.commit.clone();
        let version = match commit.map_or_else(|| api::commit(http, hub), Ok) {
            Ok(commit) => commit,
            Err(error) => names::version(stated.etag.as_ref().ok_or(error)?),
        };
        Ok(Self {
            stated: Some(stated),
            ..Self::at(hub, version)
        })
    }

    pub(super) fn commit(&self) -> Option<&str> {
        Some(self.version.as_str()).filter(|version| names::is_commit(version))
    }

    /// Whether an answer with this ETag, if it has one, can be of this version.
    pub(super) fn may_have(&self, etag: Option<&str>) -> bool {
        self.commit().is_some() || etag.is_none_or(|etag| names::version(etag) == self.version)
    }
}
