//! Weights from a Hugging Face hub: whole files where most of one is needed or
//! one is there already, else only the tensors wanted.

mod api;
mod cache;
mod http;
mod names;
mod ranged;
mod ranges;
mod transfer;
mod whole;

use std::cell::OnceCell;
use std::sync::Arc;
use std::thread;

use candle_core::Tensor;

use self::api::FileInfo;
use self::cache::{Cache, Entry};
use self::http::Http;
use self::ranged::Ranged;
use self::transfer::Remote;
use super::Wanted;
use super::file::Safetensors;
use super::find::read_all;
use super::identify::Identity;
use super::options::{HubOptions, ReadOptions};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::graph::{HubFile, StoredTensors};

/// Reads the wanted tensors of a hub file.
pub(super) fn load(
    hub: &HubFile,
    wanted: &[Wanted<'_>],
    options: &ReadOptions,
) -> Result<Vec<Tensor>> {
    names::check(hub)?;
    on_a_thread(hub, || load_here(hub, wanted, options))
}

/// The commit that the revision of a hub file names, and the file's hash.
pub(super) fn identify(hub: &HubFile, options: &ReadOptions) -> Result<Identity> {
    names::check(hub)?;
    on_a_thread(hub, || {
        let session = Session::new(hub, options)?;
        let cache = Cache::new(&session.options.home, hub, &session.commit);
        let promised = hub.sha256.clone();
        let sha256 = match session.info(&cache) {
            Ok(info) => info.sha256.clone().or(promised),
            Err(error @ Error::HashMismatch { .. }) => return Err(error),
            Err(_) => promised,
        };
        Ok(Identity {
            commit: Some(session.commit),
            sha256,
        })
    })
}

fn on_a_thread<T: Send>(hub: &HubFile, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    // The caller may be a task of an async runtime, where the blocking clients
    // below may not be used.
    let failed = |reason: &str| Error::HubResponse {
        what: hub.repository.clone(),
        reason: reason.to_string(),
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .name("vgg-surgery-hub".to_string())
            .spawn_scoped(scope, work)
            .map_err(|error| failed(&format!("no thread could be started: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(failed("the loading thread broke down")))
    })
}

fn load_here(hub: &HubFile, wanted: &[Wanted<'_>], options: &ReadOptions) -> Result<Vec<Tensor>> {
    let session = Session::new(hub, options)?;
    let hub_options = session.options;
    let cache = Cache::new(&hub_options.home, hub, &session.commit);
    let _lock = cache.lock();
    match whole::cached(&hub_options.hub_cache, hub, &session.commit, &cache) {
        Ok(Some(path)) => match Safetensors::map(&path) {
            Ok(file) => return read_all(&file, wanted),
            Err(error) if hub_options.offline => return Err(error),
            Err(_) => {}
        },
        Ok(None) => {}
        // Online, a damaged file is not used, and replaced if it is needed.
        Err(error) if hub_options.offline => return Err(error),
        Err(_) => {}
    }
    let source: Box<dyn StoredTensors + '_> = match Ranged::open(&session, &cache)? {
        Some(ranged) => Box::new(ranged),
        None => Box::new(Safetensors::map(&whole::fetch(&session, &cache)?)?),
    };
    read_all(&*source, wanted)
}

/// The commit to load: as the hub says, or, where it can't be asked, as it said
/// last.
fn pin(hub: &HubFile, options: &HubOptions, http: &OnceCell<Http>) -> Result<String> {
    if names::is_commit(&hub.revision) {
        return Ok(hub.revision.clone());
    }
    let known = || {
        let ours = cache::known_commit(&options.home, hub);
        let shared = whole::known_commit(&options.hub_cache, hub);
        match shared {
            Some(commit) if whole::is_cached(&options.hub_cache, hub, &commit) => Some(commit),
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
struct Session<'a> {
    hub: &'a HubFile,
    options: &'a HubOptions,
    progress: Option<&'a Arc<dyn Progress>>,
    commit: String,
    http: OnceCell<Http>,
    info: OnceCell<FileInfo>,
}

impl<'a> Session<'a> {
    fn new(hub: &'a HubFile, options: &'a ReadOptions) -> Result<Self> {
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
    fn info(&self, cache: &Cache) -> Result<&FileInfo> {
        let info = get_or_init(&self.info, || self.find_info(cache))?;
        if let (Some(expected), Some(actual)) = (&self.hub.sha256, &info.sha256)
            && expected != actual
        {
            return Err(Error::HashMismatch {
                file: place(self.hub, &self.commit),
                expected: expected.clone(),
                actual: actual.clone(),
            });
        }
        Ok(info)
    }

    /// The hash that the whole file must have: the hub's or, where the hub
    /// states none, the weight set's.
    fn sha256(&self, cache: &Cache) -> Result<Option<&str>> {
        let stated = self.info(cache)?.sha256.as_ref();
        Ok(stated.or(self.hub.sha256.as_ref()).map(String::as_str))
    }

    fn find_info(&self, cache: &Cache) -> Result<FileInfo> {
        let known = cache.get(Entry::Info);
        if let Some(info) = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(info);
        }
        self.online(|| place(self.hub, &self.commit))?;
        let info = api::file(self.http()?, self.hub, &self.commit)?;
        if let Ok(bytes) = serde_json::to_vec(&info) {
            cache.put(Entry::Info, &bytes)?;
        }
        Ok(info)
    }

    /// Refuses to go on if requests are not allowed.
    fn online(&self, what: impl FnOnce() -> String) -> Result<()> {
        if self.options.offline {
            return Err(Error::Offline { what: what() });
        }
        Ok(())
    }

    fn http(&self) -> Result<&Http> {
        get_or_init(&self.http, || Http::new(self.options))
    }

    fn remote(&self, file_bytes: u64) -> Result<Remote<'_>> {
        let http = self.http()?;
        Ok(Remote::new(http, self.hub, &self.commit, file_bytes))
    }
}

/// A file at a commit, in words.
fn place(hub: &HubFile, commit: &str) -> String {
    let short = commit.get(..12).unwrap_or(commit);
    format!("{}@{short}/{}", hub.repository, hub.file)
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
