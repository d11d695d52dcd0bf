//! Whole files in the cache that Hugging Face's tools share.
//!
//! `<hub cache>/models--owner--name/` has `blobs/<hash>` with the contents,
//! `snapshots/<commit>/<file>`, a link to one of them or a copy, and
//! `refs/<revision>`.
//! A download holds `.locks/models--owner--name/<hash>.lock` and grows
//! `blobs/<hash>.incomplete`, which the next attempt continues.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hf_hub::CacheRepo;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::{Cache, Entry, read_version};
use super::names;
use crate::error::{Error, Result, io_error, shown};
use crate::files;
use crate::graph::HubFile;
use crate::weights::hash::hex;
use crate::weights::options::HubOptions;

/// A file that was hashed once; it counts as the same while it looks the same.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verified {
    sha256: String,
    bytes: u64,
    modified_nanoseconds: u128,
}

/// The repository's part of the cache.
pub(super) fn repository(hub_cache: &Path, hub: &HubFile) -> CacheRepo {
    hf_hub::Cache::new(hub_cache.to_path_buf()).repo(names::repository(hub))
}

pub(super) fn snapshot(hub_cache: &Path, hub: &HubFile, commit: &str) -> PathBuf {
    repository(hub_cache, hub)
        .pointer_path(commit)
        .join(&hub.file)
}

/// The file that says which commit the revision names.
pub(super) fn reference(hub_cache: &Path, hub: &HubFile) -> PathBuf {
    let folder = hub_cache.join(names::repository(hub).folder_name());
    folder.join("refs").join(&hub.revision)
}

/// The commit that the revision named when a tool last asked for it.
pub(super) fn known_commit(hub_cache: &Path, hub: &HubFile) -> Option<String> {
    read_version(&reference(hub_cache, hub))
}

/// Whether some tool has downloaded the whole file.
pub(super) fn is_cached(hub_cache: &Path, hub: &HubFile, commit: &str) -> bool {
    snapshot(hub_cache, hub, commit).is_file()
}

/// The whole file, if it is cached.
///
/// # Errors
/// [`Error::HashMismatch`] if it is not what it should be.
pub(super) fn cached(
    hub_cache: &Path,
    hub: &HubFile,
    commit: &str,
    cache: &Cache,
) -> Result<Option<PathBuf>> {
    let path = snapshot(hub_cache, hub, commit);
    if !path.is_file() {
        return Ok(None);
    }
    // The contents of files kept outside of git are named by their hash. A copy
    // is not, but the hub may have said its hash before.
    let blob = fs::canonicalize(&path)
        .ok()
        .and_then(|blob| names::sha256(blob.file_name()?.to_str()?));
    let said = || cache.get_info()?.sha256;
    let promised = blob.or_else(said);
    for expected in promised.iter().chain(&hub.sha256) {
        verify(&path, expected, cache)?;
    }
    Ok(Some(path))
}

/// Compares the hash of a file, unless that was done and the file looks the
/// same since.
fn verify(path: &Path, expected: &str, cache: &Cache) -> Result<()> {
    let mut stamp = look(path, expected)?;
    let known = cache
        .get(Entry::Verified)
        .and_then(|bytes| serde_json::from_slice::<Verified>(&bytes).ok());
    if known.is_some_and(|known| known == stamp) {
        return Ok(());
    }
    let mut file = files::open(path)?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(|source| io_error(path, source))?;
    stamp.sha256 = hex(&hasher.finalize());
    if stamp.sha256 != expected {
        return Err(mismatch(shown(path), expected, stamp.sha256));
    }
    remember(cache, &stamp);
    Ok(())
}

pub(super) fn look(path: &Path, sha256: &str) -> Result<Verified> {
    let metadata = fs::metadata(path).map_err(|source| io_error(path, source))?;
    let modified_nanoseconds = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |elapsed| elapsed.as_nanos());
    Ok(Verified {
        sha256: sha256.to_string(),
        bytes: metadata.len(),
        modified_nanoseconds,
    })
}

pub(super) fn remember(cache: &Cache, stamp: &Verified) {
    if let Ok(bytes) = serde_json::to_vec(stamp) {
        // Where it can't be kept, the file is hashed again next time.
        let _ = cache.put(Entry::Verified, &bytes);
    }
}

pub(super) fn mismatch(file: String, expected: &str, actual: String) -> Error {
    Error::HashMismatch {
        file,
        expected: expected.to_string(),
        actual,
    }
}

/// As Hugging Face's tools lock it; where files can't be locked, nothing is.
///
/// # Errors
/// `FileError::Locked`, `FileError::NotAFile`, `Error::Io`.
pub(super) fn lock(options: &HubOptions, hub: &HubFile, blob: &str) -> Result<Option<File>> {
    let folder = options
        .hub_cache
        .join(".locks")
        .join(names::repository(hub).folder_name());
    files::lock(&folder.join(format!("{blob}.lock")), options.lock_timeout)
}

/// One way to make a link at the third path to `blob`, the first; the second path
/// leads there from the third.
pub(in crate::weights) type Way = fn(&Path, &Path, &Path) -> io::Result<()>;

/// As the other tools do.
pub(in crate::weights) const WAYS: [Way; 2] = [
    |_, target, path| symlink(target, path),
    |blob, _, path| fs::hard_link(blob, path),
];

#[cfg(unix)]
use std::os::unix::fs::symlink;
#[cfg(windows)]
use std::os::windows::fs::symlink_file as symlink;

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes `path`, the last `parts` of which name the file in its snapshot, lead
/// to `blob` by the first of `ways` that works. Not every file system has links: if
/// none works, the file is copied. Replaces what is there.
pub(in crate::weights) fn link(blob: &Path, path: &Path, parts: usize, ways: &[Way]) -> Result<()> {
    let mut target = PathBuf::new();
    for _ in 0..=parts {
        target.push("..");
    }
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    if fs::read_link(path).is_ok_and(|current| current == target) {
        return Ok(());
    }
    for way in ways {
        let make = |temporary: &Path| {
            let made = way(blob, &target, temporary);
            made.map_err(|reason| io_error(path, reason))
        };
        if files::make_atomically(path, make).is_ok() {
            return Ok(());
        }
    }
    let file = files::open(blob)?;
    files::write_unsynced(path, |out| out.copy(&file))
}
