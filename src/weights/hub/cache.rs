//! Single tensors of hub files, kept between runs.
//!
//! `<home>/vgg-surgery/<repository>/` has `refs/<revision>`, naming a version
//! (a commit, or a hash of an ETag), and `<version>/<file>/` with what has been
//! fetched of that file: `info`, `header` and one file for each tensor under
//! `tensors`. Every entry begins with a hash over its kind and content. An entry
//! that is damaged or in the wrong place does not match its hash: it counts as
//! absent and is replaced. Files appear whole, by renaming.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names;
use crate::error::{Error, FileError, Result};
use crate::files;
use crate::graph::HubFile;
use crate::weights::formats::header::MAX_JSON_BYTES;

const MAGIC: &[u8; 16] = b"vgg-surgery 1  \n";
const HASH_BYTES: usize = 32;

/// Bytes of a file that names a version, white space included.
const LONGEST_VERSION: u64 = 256;

/// What an entry holds.
#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    /// What the hub says about the file.
    Info,
    /// The JSON of the header.
    Header,
    /// That a whole file has been verified.
    Verified,
    /// The bytes of one tensor.
    Tensor { key: &'a str, begin: u64, end: u64 },
}

/// One file at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileInfo {
    pub(super) bytes: u64,
    /// Of the content, for files kept outside of git.
    pub(super) sha256: Option<String>,
    /// What the shared cache calls the content.
    pub(super) blob: String,
}

/// The entries of one file at one version.
pub(super) struct Cache {
    folder: PathBuf,
    identity: String,
}

impl Cache {
    pub(super) fn new(home: &Path, hub: &HubFile, version: &str) -> Self {
        Self {
            folder: repository(home, hub)
                .join(version)
                .join(names::component(&hub.file)),
            identity: format!("{}@{version}/{}", hub.repository, hub.file),
        }
    }

    /// An entry, if it is there and sound.
    pub(super) fn get(&self, entry: Entry<'_>) -> Option<Vec<u8>> {
        let file = files::open(&self.path(entry)).ok()?;
        let frame = (MAGIC.len() + HASH_BYTES) as u64;
        let length = file.metadata().ok()?.len().checked_sub(frame)?;
        let is_possible = match entry {
            Entry::Tensor { begin, end, .. } => length == end - begin,
            Entry::Info | Entry::Header | Entry::Verified => length <= MAX_JSON_BYTES,
        };
        if !is_possible {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(frame + length).read_to_end(&mut bytes).ok()?;
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (hash, payload) = rest.split_first_chunk::<HASH_BYTES>()?;
        if *hash != self.hash(entry, payload) {
            return None;
        }
        bytes.drain(..MAGIC.len() + HASH_BYTES);
        Some(bytes)
    }

    /// What the hub has said about the file.
    pub(super) fn get_info(&self) -> Option<FileInfo> {
        serde_json::from_slice(&self.get(Entry::Info)?).ok()
    }

    pub(super) fn put(&self, entry: Entry<'_>, payload: &[u8]) -> Result<()> {
        let hash = self.hash(entry, payload);
        write_whole(&self.path(entry), &[MAGIC, &hash, payload])
    }

    /// Locks the file's entries for other processes and threads; `None` in a cache
    /// that can't be locked.
    ///
    /// # Errors
    /// `FileError::Locked`.
    pub(super) fn lock(&self, longest: Duration) -> Result<Option<File>> {
        match files::lock(&self.folder.join("lock"), longest) {
            Err(error @ Error::File(FileError::Locked { .. })) => Err(error),
            Err(_) => Ok(None),
            Ok(held) => Ok(held),
        }
    }

    fn path(&self, entry: Entry<'_>) -> PathBuf {
        match entry {
            Entry::Info => self.folder.join("info"),
            Entry::Header => self.folder.join("header"),
            Entry::Verified => self.folder.join("verified"),
            Entry::Tensor { key, .. } => self.folder.join("tensors").join(names::component(key)),
        }
    }

    fn hash(&self, entry: Entry<'_>, payload: &[u8]) -> [u8; HASH_BYTES] {
        let what = match entry {
            Entry::Info => "info".to_string(),
            Entry::Header => "header".to_string(),
            Entry::Verified => "verified".to_string(),
            Entry::Tensor { key, begin, end } => format!("tensor {begin} {end} {key}"),
        };
        let mut hasher = Sha256::new();
        for part in [&self.identity, &what] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(payload);
        hasher.finalize().into()
    }
}

fn repository(home: &Path, hub: &HubFile) -> PathBuf {
    home.join("vgg-surgery")
        .join(names::repository(hub).folder_name())
}

fn ref_path(home: &Path, hub: &HubFile) -> PathBuf {
    repository(home, hub)
        .join("refs")
        .join(names::component(&hub.revision))
}

/// The version that the revision named when it was last asked for.
pub(super) fn known_version(home: &Path, hub: &HubFile) -> Option<String> {
    read_version(&ref_path(home, hub))
}

pub(super) fn remember_version(home: &Path, hub: &HubFile, version: &str) -> Result<()> {
    let path = ref_path(home, hub);
    if read_version(&path).as_deref() == Some(version) {
        return Ok(());
    }
    write_whole(&path, &[version.as_bytes()])
}

/// The version that a file names, if it names one.
pub(super) fn read_version(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = files::open(path).ok()?;
    file.take(LONGEST_VERSION).read_to_string(&mut text).ok()?;
    let version = text.trim();
    names::is_version(version).then(|| version.to_string())
}

/// Writes a file that other processes see either whole or not at all. It is not
/// synced: entries are hashed, and damage counts as absence.
pub(super) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<()> {
    files::write_unsynced(path, |out| {
        parts.iter().try_for_each(|part| out.write(part))
    })
}
