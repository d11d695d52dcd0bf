//! One loading of one file: which commit, and what the hub says about it.

use std::cell::OnceCell;
use std::sync::Arc;

use super::api::{self, FileInfo};
use super::cache::{self, Cache, Entry};
use super::http::Http;
use super::transfer::Remote;
use super::{names, shared};
use crate::error::{Error, Result};
use crate::graph::HubFile;
use crate::weights::options::{HubOptions, ReadOptions};
use crate::weights::progress::Progress;

/// The commit to load: as the hub says, or, where it can't be asked, as it said
/// last.
fn pin(hub: &HubFile, options: &HubOptions, http: &OnceCell<Http>) -> Result<String> {
    if names::is_commit(&hub.revision) {
        return Ok(hub.revision.clone());
    }
    let known = || {
        let ours = cache::known_commit(&options.home, hub);
        let shared = shared::known_commit(&options.hub_cache, hub);
        match shared {
            Some(commit) if shared::is_cached(&options.hub_cache, hub, &commit) => Some(commit),
            _ => ours,
        }
    };
    if options.offline {
        return known().ok_or_else(|| Error::Offline {
            what: format!("{}@{}", hub.repository, hub.revision),
        });
    }
    match get_or_init(http, || Http::new(options)).and_then(|http| api::commit(http, hub)) {
        Ok(commit) => {
            // A home that can't be written may still have all that is needed.
            let _ = cache::remember_commit(&options.home, hub, &commit);
            Ok(commit)
        }
        Err(
            error @ (Error::HubUnreachable { .. }
            | Error::HubRateLimited { .. }
            | Error::HubResponse { .. }),
        ) => known().ok_or(error),
        Err(error) => Err(error),
    }
}

/// One loading of one file at one commit.
pub(super) struct Session<'a> {
    pub(super) hub: &'a HubFile,
    pub(super) options: &'a HubOptions,
    pub(super) progress: Option<&'a Arc<dyn Progress>>,
    pub(super) commit: String,
    http: OnceCell<Http>,
    info: OnceCell<FileInfo>,
}

impl<'a> Session<'a> {
    pub(super) fn new(hub: &'a HubFile, options: &'a ReadOptions) -> Result<Self> {
        let http = OnceCell::new();
        let commit = pin(hub, options.get_hub(), &http)?;
        Ok(Self {
            hub,
            options: options.get_hub(),
            progress: options.get_progress(),
            commit,
            http,
            info: OnceCell::new(),
        })
    }

    /// What the hub says about the file, which must be what the weight set
    /// promises.
    pub(super) fn info(&self, cache: &Cache) -> Result<&FileInfo> {
        let info = get_or_init(&self.info, || self.find_info(cache))?;
        if let (Some(expected), Some(actual)) = (&self.hub.sha256, &info.sha256)
            && expected != actual
        {
            return Err(Error::HashMismatch {
                file: names::place(self.hub, &self.commit),
                expected: expected.clone(),
                actual: actual.clone(),
            });
        }
        Ok(info)
    }

    /// The hash that the whole file must have: the hub's or, where the hub
    /// states none, the weight set's.
    pub(super) fn sha256(&self, cache: &Cache) -> Result<Option<&str>> {
        let stated = self.info(cache)?.sha256.as_ref();
        Ok(stated.or(self.hub.sha256.as_ref()).map(String::as_str))
    }

    fn find_info(&self, cache: &Cache) -> Result<FileInfo> {
        let known = cache.get(Entry::Info);
        if let Some(info) = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(info);
        }
        self.online(|| names::place(self.hub, &self.commit))?;
        let info = api::file(self.http()?, self.hub, &self.commit)?;
        if let Ok(bytes) = serde_json::to_vec(&info) {
            cache.put(Entry::Info, &bytes)?;
        }
        Ok(info)
    }

    /// Refuses to go on if requests are not allowed.
    pub(super) fn online(&self, what: impl FnOnce() -> String) -> Result<()> {
        if self.options.offline {
            return Err(Error::Offline { what: what() });
        }
        Ok(())
    }

    fn http(&self) -> Result<&Http> {
        get_or_init(&self.http, || Http::new(self.options))
    }

    pub(super) fn remote(&self, file_bytes: u64) -> Result<Remote<'_>> {
        let http = self.http()?;
        Ok(Remote::new(http, self.hub, &self.commit, file_bytes))
    }
}

fn get_or_init<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = make()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}
