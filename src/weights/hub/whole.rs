//! Whole files, downloaded into the cache that Hugging Face's tools share.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::cache::{Cache, read_version, write_whole};
use super::session::Session;
use super::shared::{WAYS, link, lock, look, mismatch, reference, remember, repository, snapshot};
use super::transfer::{Outcome, Remote};
use crate::error::{Error, Result, io_error};
use crate::files;
use crate::weights::formats;
use crate::weights::hash::hex;
use crate::weights::progress::Transfer;
use crate::weights::stored::StoredTensors;

/// The whole file, downloaded and verified. It is kept where every tool finds it
/// or, if the cache is full or can't be written, in memory.
pub(super) fn open(session: &Session<'_>, cache: &Cache) -> Result<Box<dyn StoredTensors>> {
    match fetch(session, cache) {
        Ok(path) => formats::open(&path),
        Err(error @ Error::Io { .. }) => {
            session.report_unkept(&error);
            formats::open_bytes(fetch_to_memory(session, cache)?.into())
        }
        Err(error) => Err(error),
    }
}

fn fetch_to_memory(session: &Session<'_>, cache: &Cache) -> Result<Vec<u8>> {
    let (info, expected) = (session.info(cache)?, session.sha256(cache)?);
    session.online(|| session.place())?;
    let place = session.place();
    let transfer = Transfer::start(session.progress, &place, info.bytes);
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let remote = session.remote(info.bytes)?;
    if remote.fetch(0..info.bytes, &mut sink, &transfer)? == Outcome::NoRanges {
        return Err(cannot_continue(&remote));
    }
    let actual = hex(&Sha256::digest(&bytes));
    match expected {
        Some(expected) if actual != expected => Err(mismatch(place, expected, actual)),
        _ => Ok(bytes),
    }
}

/// Downloads the whole file, verifies it, and puts it where every tool finds
/// it.
fn fetch(session: &Session<'_>, cache: &Cache) -> Result<PathBuf> {
    let (hub, pin) = (session.hub, &session.pin);
    let hub_cache = &session.options.hub_cache;
    let info = session.info(cache)?;
    let blob = repository(hub_cache, hub).blob_path(&info.blob);
    let _lock = lock(session.options, hub, &info.blob)?;
    let expected = session.sha256(cache)?;
    if damaged(&blob, info.bytes, expected) {
        session.online(|| session.place())?;
        download(session, cache, &blob)?;
    }
    let path = snapshot(hub_cache, hub, &pin.version);
    if let Err(error) = name(session, &blob, &path) {
        session.report_unkept(&error);
        return Ok(blob);
    }
    if let Some(sha256) = expected {
        remember(cache, &look(&path, sha256)?);
    }
    Ok(path)
}

/// Lets the snapshot lead to the contents, and the revision to the commit.
fn name(session: &Session<'_>, blob: &Path, path: &Path) -> Result<()> {
    let (hub, hub_cache) = (session.hub, &session.options.hub_cache);
    link(blob, path, hub.file.split('/').count(), &WAYS)?;
    if let Some(commit) = session.pin.commit()
        && commit != hub.revision
    {
        let reference = reference(hub_cache, hub);
        if read_version(&reference).as_deref() != Some(commit) {
            write_whole(&reference, &[commit.as_bytes()])?;
        }
    }
    Ok(())
}

/// Whether the contents are missing or not what they should be.
fn damaged(blob: &Path, bytes: u64, sha256: Option<&str>) -> bool {
    let sound_length =
        fs::metadata(blob).is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes);
    if !sound_length {
        return true;
    }
    let Some(expected) = sha256 else {
        return formats::open(blob).is_err();
    };
    let mut hasher = Sha256::new();
    let hashed = files::open(blob).map(|mut file| io::copy(&mut file, &mut hasher));
    !matches!(hashed, Ok(Ok(_))) || hex(&hasher.finalize()) != expected
}

/// Fills `<blob>.incomplete` and renames it once it is known to be right.
fn download(session: &Session<'_>, cache: &Cache, blob: &Path) -> Result<()> {
    let (info, expected) = (session.info(cache)?, session.sha256(cache)?);
    let place = session.place();
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

fn is_full(error: &Error) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    matches!(error, Error::Io { reason, .. } if full.contains(&reason.kind()))
}

fn cannot_continue(remote: &Remote<'_>) -> Error {
    Error::HubResponse {
        what: remote.what().to_string(),
        reason: "it breaks off, and can't be continued since ranges are refused".to_string(),
    }
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
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let io = |source| io_error(&path, source);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let file = files::open_own(&path)?;
        let mut hasher = Sha256::new();
        let mut bytes = file.metadata().map_err(io)?.len();
        if bytes > file_bytes {
            file.set_len(0).map_err(io)?;
            bytes = 0;
        }
        io::copy(&mut (&file).take(bytes), &mut hasher).map_err(io)?;
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
                    // A full disk is not left full.
                    if self.bytes == 0 || is_full(&error) {
                        self.discard();
                    }
                    return Err(error);
                }
            }
        }
        Err(cannot_continue(remote))
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

    /// Moves the file to its place if it is a weight file.
    fn finish(self, blob: &Path) -> Result<()> {
        let io = |source| io_error(&self.path, source);
        self.file.sync_all().map_err(io)?;
        if let Err(error) = formats::open(&self.path) {
            self.discard();
            return Err(error);
        }
        fs::rename(&self.path, blob).map_err(io)
    }
}
