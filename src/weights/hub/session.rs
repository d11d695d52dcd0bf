//! One loading of one file: which version, and what the hub says about it.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::sync::Arc;

use super::api;
use super::cache::{Cache, Entry, FileInfo};
use super::http::Http;
use super::names;
use super::pin::Pin;
use super::transfer::Remote;
use crate::error::{Error, Result};
use crate::graph::HubFile;
use crate::weights::options::{HubOptions, ReadOptions};
use crate::weights::progress::Progress;

/// One loading of one file at one version.
pub(super) struct Session<'a> {
    pub(super) hub: &'a HubFile,
    pub(super) options: &'a HubOptions,
    pub(super) progress: Option<&'a Arc<dyn Progress>>,
    pub(super) pin: Pin,
    http: OnceCell<Http>,
    info: OnceCell<FileInfo>,
    /// Held from the first fetch on.
    lock: OnceCell<Option<File>>,
    /// Whether it was reported that something can't be kept.
    is_reported: Cell<bool>,
}

impl<'a> Session<'a> {
    pub(super) fn new(hub: &'a HubFile, options: &'a ReadOptions) -> Result<Self> {
        let http = OnceCell::new();
        let pin = Pin::of(hub, options.get_hub(), &http)?;
        Ok(Self {
            hub,
            options: options.get_hub(),
            progress: options.get_progress(),
            pin,
            http,
            info: OnceCell::new(),
            lock: OnceCell::new(),
            is_reported: Cell::new(false),
        })
    }

    /// Waits until no other process or thread fetches from this file, and keeps
    /// them waiting until the session ends. What is cached must be looked up again
    /// after that. In a cache that can't be locked, two may fetch the same, which
    /// does no harm.
    pub(super) fn lock(&self, cache: &Cache) -> Result<()> {
        if self.lock.get().is_none() {
            let held = cache.lock(self.options.lock_timeout)?;
            let _ = self.lock.set(held);
        }
        Ok(())
    }

    /// Keeps something that was fetched. A cache that is full or can't be written
    /// is reported once: the next session fetches the same again.
    pub(super) fn keep(&self, cache: &Cache, entry: Entry<'_>, payload: &[u8]) {
        if let Err(error) = cache.put(entry, payload) {
            self.report_unkept(&error);
        }
    }

    pub(super) fn report_unkept(&self, error: &Error) {
        if let Some(progress) = self.progress
            && !self.is_reported.replace(true)
        {
            progress.not_kept(&self.place(), &error.to_string());
        }
    }

    /// The file, in words.
    pub(super) fn place(&self) -> String {
        names::place(self.hub, &self.pin.asked)
    }

    /// What the hub says about the file, which must be what the weight set
    /// promises.
    pub(super) fn info(&self, cache: &Cache) -> Result<&FileInfo> {
        let info = match self.info.get() {
            Some(info) => info,
            None => {
                let found = self.find_info(cache)?;
                self.info.get_or_init(|| found)
            }
        };
        if let (Some(expected), Some(actual)) = (&self.hub.sha256, &info.sha256)
            && expected != actual
        {
            return Err(Error::HashMismatch {
                file: self.place(),
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
        if let Some(info) = cache.get_info() {
            return Ok(info);
        }
        self.online(|| self.place())?;
        self.lock(cache)?;
        if let Some(info) = cache.get_info() {
            return Ok(info);
        }
        let (http, revision) = (self.http()?, &self.pin.asked);
        let info = match &self.pin.stated {
            Some(stated) => api::file(http, self.hub, revision, stated)?,
            None => {
                let stated = api::head(http, self.hub, revision)?;
                api::file(http, self.hub, revision, &stated)?
            }
        };
        if let Ok(bytes) = serde_json::to_vec(&info) {
            self.keep(cache, Entry::Info, &bytes);
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
        Http::once(&self.http, self.options)
    }

    pub(super) fn remote(&self, file_bytes: u64) -> Result<Remote<'_>> {
        Ok(Remote::new(self.http()?, self.hub, &self.pin, file_bytes))
    }
}
