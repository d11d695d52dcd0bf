//! Whole files in the cache that Hugging Face's tools share.
//!
//! `<hub cache>/models--owner--name/` has `blobs/<hash>` with the contents,
//! `snapshots/<commit>/<file>`, a link to one of them, and `refs/<revision>`.
//! A download holds `.locks/models--owner--name/<hash>.lock` and grows
//! `blobs/<hash>.incomplete`, which the next attempt continues.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Session;
use super::cache::{Cache, Entry, read_commit, write_whole};
use super::names;
use super::transfer::{Outcome, Remote};
use crate::error::{Error, Result, io_error};
use crate::graph::HubFile;
use crate::weights::file::Safetensors;
use crate::weights::progress::Transfer;
use crate::weights::write::hex;

/// A file that was hashed once; it counts as the same while it looks the same.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Verified {
    sha256: String,
    bytes: u64,
    modified_nanoseconds: u128,
}

fn repository(hub_cache: &Path, hub: &HubFile) -> PathBuf {
    hub_cache.join(names::repository_folder(&hub.repository))
}

fn snapshot(hub_cache: &Path, hub: &HubFile, commit: &str) -> PathBuf {
    repository(hub_cache, hub)
        .join("snapshots")
        .join(commit)
        .join(&hub.file)
}

/// The commit that the revision named when a tool last asked for it.
pub(super) fn known_commit(hub_cache: &Path, hub: &HubFile) -> Option<String> {
    read_commit(&repository(hub_cache, hub).join("refs").join(&hub.revision))
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
    // The contents of files kept outside of git are named by their hash.
    let blob = fs::canonicalize(&path)
        .ok()
        .and_then(|blob| Some(blob.file_name()?.to_str()?.to_string()));
    let promised =
        blob.filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
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
    let mut file = File::open(path).map_err(|source| io_error(path, source))?;
    let mut hasher = Sha256::new();
    hash_some(&mut file, u64::MAX, &mut hasher).map_err(|source| io_error(path, source))?;
    stamp.sha256 = hex(&hasher.finalize());
    if stamp.sha256 != expected {
        return Err(mismatch(path.display().to_string(), expected, stamp.sha256));
    }
    remember(cache, &stamp);
    Ok(())
}

fn look(path: &Path, sha256: &str) -> Result<Verified> {
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

fn remember(cache: &Cache, stamp: &Verified) {
    if let Ok(bytes) = serde_json::to_vec(stamp) {
        // Where it can't be kept, the file is hashed again next time.
        let _ = cache.put(Entry::Verified, &bytes);
    }
}

fn mismatch(file: String, expected: &str, actual: String) -> Error {
    Error::HashMismatch {
        file,
        expected: expected.to_string(),
        actual,
    }
}

/// Downloads the whole file, verifies it, and puts it where every tool finds
/// it.
pub(super) fn fetch(session: &Session<'_>, cache: &Cache) -> Result<PathBuf> {
    let (hub, commit) = (session.hub, session.commit.as_str());
    let hub_cache = &session.options.hub_cache;
    let info = session.info(cache)?;
    let repository = repository(hub_cache, hub);
    let blob = repository.join("blobs").join(&info.blob);
    let _lock = lock(hub_cache, hub, &info.blob)?;
    let expected = session.sha256(cache)?;
    if damaged(&blob, info.bytes, expected) {
        session.online(|| super::place(hub, commit))?;
        download(session, cache, &blob)?;
    }
    let path = snapshot(hub_cache, hub, commit);
    link(&blob, &path, Path::new(&hub.file).components().count())?;
    if !names::is_commit(&hub.revision) {
        let reference = repository.join("refs").join(&hub.revision);
        if read_commit(&reference).as_deref() != Some(commit) {
            write_whole(&reference, &[commit.as_bytes()])?;
        }
    }
    if let Some(sha256) = expected {
        remember(cache, &look(&path, sha256)?);
    }
    Ok(path)
}

/// Whether the contents are missing or not what they should be.
fn damaged(blob: &Path, bytes: u64, sha256: Option<&str>) -> bool {
    let sound_length =
        fs::metadata(blob).is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes);
    if !sound_length {
        return true;
    }
    let Some(expected) = sha256 else {
        return Safetensors::map(blob).is_err();
    };
    let mut hasher = Sha256::new();
    let hashed = File::open(blob).and_then(|mut file| hash_some(&mut file, u64::MAX, &mut hasher));
    hashed.is_err() || hex(&hasher.finalize()) != expected
}

/// As Hugging Face's tools lock it; where files can't be locked, nothing is.
fn lock(hub_cache: &Path, hub: &HubFile, blob: &str) -> Result<Option<File>> {
    let folder = hub_cache
        .join(".locks")
        .join(names::repository_folder(&hub.repository));
    fs::create_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
    let path = folder.join(format!("{blob}.lock"));
    let file = File::create(&path).map_err(|source| io_error(&path, source))?;
    Ok(file.lock().is_ok().then_some(file))
}

/// Fills `<blob>.incomplete` and renames it once it is known to be right.
fn download(session: &Session<'_>, cache: &Cache, blob: &Path) -> Result<()> {
    let (info, expected) = (session.info(cache)?, session.sha256(cache)?);
    let place = super::place(session.hub, &session.commit);
    let remote = session.remote(info.bytes)?;
    let mut partial = Partial::open(blob, info.bytes)?;
    let transfer = Transfer::start(session.progress, &place, info.bytes);
    transfer.advance(partial.bytes);
    let resumed = partial.bytes > 0;
    partial.fill(&remote, info.bytes, session.options.retries, &transfer)?;
    let mut actual = partial.sha256();
    if resumed && expected.is_some_and(|expected| actual != expected) {
        // What was there may have been anybody's.
        partial.restart()?;
        partial.fill(&remote, info.bytes, session.options.retries, &transfer)?;
        actual = partial.sha256();
    }
    if let Some(expected) = expected
        && actual != expected
    {
        partial.discard();
        return Err(mismatch(place, expected, actual));
    }
    partial.finish(blob)
}

/// A download under way.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Partial {
    fn open(blob: &Path, file_bytes: u64) -> Result<Self> {
        let path = blob.with_extension("incomplete");
        let io = |source| io_error(&path, source);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        let mut hasher = Sha256::new();
        let mut bytes = file.metadata().map_err(io)?.len();
        if bytes > file_bytes {
            file.set_len(0).map_err(io)?;
            bytes = 0;
        }
        hash_some(&mut file, bytes, &mut hasher).map_err(io)?;
        Ok(Self {
            path,
            file,
            hasher,
            bytes,
        })
    }

    fn fill(
        &mut self,
        remote: &Remote<'_>,
        file_bytes: u64,
        retries: u32,
        transfer: &Transfer,
    ) -> Result<()> {
        for _ in 0..=retries {
            let rest = self.bytes..file_bytes;
            let outcome = remote.fetch(rest, &mut |bytes| self.append(bytes), transfer);
            match outcome {
                Ok(Outcome::Complete) => return Ok(()),
                Ok(Outcome::NoRanges) => self.restart()?,
                Err(error) => {
                    if self.bytes == 0 {
                        self.discard();
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::HubResponse {
            what: remote.what().to_string(),
            reason: "it breaks off, and can't be continued since ranges are refused".to_string(),
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|source| io_error(&self.path, source))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let rewound = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        rewound.map_err(|source| io_error(&self.path, source))?;
        self.hasher = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    fn sha256(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }

    fn discard(&self) {
        // It would be found wrong again, should it stay.
        let _ = fs::remove_file(&self.path);
    }

    /// Moves the file to its place if it is a safetensors file.
    fn finish(self, blob: &Path) -> Result<()> {
        let io = |source| io_error(&self.path, source);
        self.file.sync_all().map_err(io)?;
        if let Err(error) = Safetensors::map(&self.path) {
            self.discard();
            return Err(error);
        }
        fs::rename(&self.path, blob).map_err(io)
    }
}

fn hash_some(file: &mut File, bytes: u64, hasher: &mut Sha256) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut reader = file.take(bytes);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Makes `path`, the last `parts` of which name the file in its snapshot, lead
/// to `blob`, replacing what is there.
#[cfg(unix)]
fn link(blob: &Path, path: &Path, parts: usize) -> Result<()> {
    let mut target = PathBuf::new();
    for _ in 0..=parts {
        target.push("..");
    }
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    if fs::read_link(path).is_ok_and(|current| current == target) {
        return Ok(());
    }
    let temporary = crate::weights::write::temporary_beside(path)?;
    std::os::unix::fs::symlink(&target, &temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| io_error(path, source))
}

/// Moves `blob` to `path`, as the other tools do where links can't be made.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path, _: usize) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
    }
    fs::rename(blob, path).map_err(|source| io_error(path, source))
}
